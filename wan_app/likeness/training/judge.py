"""Train the judge on true renders, softened and disturbed at times as generated clips are."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.judge import LikenessJudge
from wan_app.likeness.training.course import Course
from wan_app.likeness.training.encoders import right_shares
from wan_app.likeness.training.optim import load_what_fits
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.world.attributes import BALD, CLASSES, Scenes, sample_scenes
from wan_app.likeness.world.motion import mouth_opening
from wan_app.likeness.world.render import clip_times, draw_clips

# The model's square, before it is enlarged.
SIDE = 64
LATENT_NOISE = 0.15
MOUTH_WEIGHT = 20.0


def visible(scenes: Scenes, name: str) -> torch.Tensor:
    """Where attribute `name` can be seen at all (N,): the bald have no hair colour, the bare-headed no hat colour."""
    if name == "hair_colour":
        return scenes.classes["hairstyle"] != BALD
    if name == "hat_colour":
        return scenes.classes["hat"] > 0
    return torch.ones_like(scenes.classes["hat"], dtype=torch.bool)


@torch.no_grad()
def render_pool(
    rank: Rank, vae: LikenessAutoencoder, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, Scenes]:
    """`count` square clips uint8 (count, 3, 17, 64, 64) and their scenes; half of them as the vae gives them back."""
    clips, parts = [], []
    for index in range(count // 32):
        scenes = sample_scenes(32, generator).to(rank.device)
        video = draw_clips(scenes, SIDE, SIDE) * 2 - 1
        if index % 2:
            with rank.autocast():
                latents = vae.encode(video)
                level = LATENT_NOISE * torch.rand(32, 1, 1, 1, 1, device=rank.device)
                video = vae.decode(latents + level * torch.randn_like(latents), enlarge=False)
        clips.append(video.float().add(1).mul(127.5).round().clamp(0, 255).byte())
        parts.append(scenes)
    return torch.cat(clips), Scenes.cat(parts)


def shaken(clips: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Clips in [-1, 1], shifted by a few pixels, lighter or darker, with a little noise: no clip comes twice."""
    dx, dy = (int(torch.randint(-3, 4, (1,), generator=generator)) for _ in range(2))
    padded = F.pad(clips.flatten(1, 2).float() / 127.5 - 1, (3, 3, 3, 3), mode="replicate")
    moved = padded[..., 3 + dy : 3 + dy + SIDE, 3 + dx : 3 + dx + SIDE].unflatten(1, clips.shape[1:3])
    light = 0.94 + 0.12 * torch.rand(len(clips), 1, 1, 1, 1, generator=generator).to(clips.device)
    return (moved * light + 0.04 * torch.randn_like(moved)).clamp(-1, 1)


def train_judge(rank: Rank, folder: Path, minutes: float, batch: int = 32, clips: int = 2048) -> None:
    """Train for `minutes` of wall time, after rendering a pool of `clips` a rank, and save to `folder/judge`;
    starts from the one that is there when present."""
    torch.manual_seed(99)
    model = LikenessJudge(classes=dict(CLASSES))
    load_what_fits(model, folder / "judge")
    model.to(rank.device).to(memory_format=torch.channels_last)
    vae = LikenessAutoencoder.from_pretrained(folder / "vae").to(rank.device)
    generator = torch.Generator().manual_seed(9100 + rank.index)
    pool, everyone = render_pool(rank, vae, clips, generator)
    moments = clip_times().to(rank.device)
    course = Course(rank, model, minutes, 2e-3, adam_rate=1e-3)
    for _ in course:
        rows = torch.randint(len(pool), (batch,), generator=generator).to(rank.device)
        scenes = everyone[rows]
        with rank.autocast():
            found = model(shaken(pool[rows], generator))
        loss = sum(
            (
                F.cross_entropy(found[n].float(), scenes.classes[n], reduction="none") * visible(scenes, n)
            ).mean()
            for n in CLASSES
        )
        loss = loss + MOUTH_WEIGHT * F.mse_loss(found["mouth"].float(), mouth_opening(scenes, moments))
        if course.learn(loss):
            course.tell("judge", f"loss {loss.item():.3f} {right_shares(found, scenes, CLASSES)}")
    if course.finish():
        model.to(torch.float16).save_pretrained(folder / "judge")
