"""Train the judge on true renders, softened and disturbed at times as generated clips are."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F

from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.judge import LikenessJudge
from wan_app.likeness.training.autoencoder import SHAPES
from wan_app.likeness.training.encoders import shared_progress
from wan_app.likeness.training.optim import Average, Optimiser
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.world.attributes import BALD, CLASSES, Scenes, sample_scenes
from wan_app.likeness.world.render import draw_clips


def visible(scenes: Scenes, name: str) -> torch.Tensor:
    """Where attribute `name` can be seen at all (N,): the bald have no hair colour, the bare-headed no hat colour."""
    if name == "hair_colour":
        return scenes.classes["hairstyle"] != BALD
    if name == "hat_colour":
        return scenes.classes["hat"] > 0
    return torch.ones_like(scenes.classes["hat"], dtype=torch.bool)


def train_judge(rank: Rank, folder: Path, minutes: float, batch: int = 16) -> None:
    """Train for `minutes` of wall time and save to `folder/judge`. Half of the clips have been through the vae."""
    torch.manual_seed(99)
    model = LikenessJudge(classes=dict(CLASSES)).to(rank.device).to(memory_format=torch.channels_last)
    vae = LikenessAutoencoder.from_pretrained(folder / "vae").to(rank.device)
    generator = torch.Generator().manual_seed(9000 + rank.index)
    optimiser, average = Optimiser(model, 2e-3, adam_rate=1e-3), Average(model, 0.995)
    begin, step, progress = time.time(), 0, 0.0
    while progress < 1:
        height, width = SHAPES[step % len(SHAPES)]
        scenes = sample_scenes(batch, generator).to(rank.device)
        video = draw_clips(scenes, height, width) * 2 - 1
        if step % 2:
            with torch.no_grad(), rank.autocast():
                latents = vae.encode(video)
                latents = latents + 0.15 * torch.rand(
                    batch, 1, 1, 1, 1, device=rank.device
                ) * torch.randn_like(latents)
                video = vae.decode(latents, enlarge=False).float().clamp(-1, 1)
        with rank.autocast():
            found = model(video)
        loss = sum(
            (
                F.cross_entropy(found[n].float(), scenes.classes[n], reduction="none") * visible(scenes, n)
            ).mean()
            for n in CLASSES
        )
        loss.backward()
        rank.average_gradients(optimiser.parameters)
        progress = shared_progress(rank, begin, minutes)
        optimiser.step(progress)
        average.update(model)
        if rank.main and step % 50 == 0:
            right = {
                n: round(float((found[n].argmax(1) == scenes.classes[n]).float().mean()), 2) for n in CLASSES
            }
            print(f"judge {progress:5.1%} step {step} loss {float(loss.detach()):.3f} {right}", flush=True)
        step += 1
    if rank.main:
        model.load_state_dict(average.weights)
        model.to(torch.float16).save_pretrained(folder / "judge")
