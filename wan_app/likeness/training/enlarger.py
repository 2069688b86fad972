"""Train the decoder's enlarger: soft decoded frames in, the world drawn at twice the size out."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F

from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.training.autoencoder import SHAPES, psnr
from wan_app.likeness.training.encoders import shared_progress
from wan_app.likeness.training.optim import Average, Optimiser
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.world.attributes import sample_scenes
from wan_app.likeness.world.render import clip_times, draw_clips

# Generated latents are a little off, so the enlarger must learn to draw clean lines from such, too.
LATENT_NOISE = 0.15


def train_enlarger(rank: Rank, folder: Path, minutes: float, batch: int = 4) -> None:
    """Train for `minutes` and write the autoencoder back with its new enlarger."""
    torch.manual_seed(0)
    model = LikenessAutoencoder.from_pretrained(folder / "vae").to(rank.device).requires_grad_(False)
    model.enlarger.requires_grad_(True).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(4000 + rank.index)
    optimiser, average = Optimiser(model.enlarger, 1e-3), Average(model.enlarger, 0.995)
    begin, step, progress = time.time(), 0, 0.0
    while progress < 1:
        height, width = SHAPES[step % len(SHAPES)]
        scenes = sample_scenes(batch, generator).to(rank.device)
        start = 1 + 4 * int(torch.randint(4, (1,), generator=generator))
        times = torch.cat([torch.zeros(1), clip_times()[start : start + 4]])
        true = draw_clips(scenes, 2 * height, 2 * width, times) * 2 - 1
        with torch.no_grad(), rank.autocast():
            small = draw_clips(scenes, height, width, times) * 2 - 1
            latents = model.encode(small)
            level = LATENT_NOISE * torch.rand(batch, 1, 1, 1, 1, device=rank.device)
            soft = model.decode(latents + level * torch.randn_like(latents), enlarge=False)
        # The first frame is a mean of four; two frames of the moving group show all else.
        pick = (0, 1 + step % 4)
        soft, true = (torch.cat([video[:, :, i] for i in pick]) for video in (soft, true))
        with rank.autocast():
            made = model.enlarger(soft.float().to(memory_format=torch.channels_last))
        made = made.float()
        edges = sum((made.diff(dim=a) - true.diff(dim=a)).abs().mean() for a in (-1, -2))
        loss = F.l1_loss(made, true) + F.mse_loss(made, true) + edges
        loss.backward()
        rank.average_gradients(optimiser.parameters)
        progress = shared_progress(rank, begin, minutes)
        optimiser.step(progress)
        average.update(model.enlarger)
        if rank.main and step % 50 == 0:
            base = F.interpolate(soft.float(), scale_factor=2, mode="bilinear", align_corners=False)
            print(f"enlarger {progress:5.1%} step {step} psnr {psnr(made, true):.2f} (bilinear {psnr(base, true):.2f})", flush=True)
        step += 1
    if rank.main:
        model.enlarger.load_state_dict(average.weights)
        model.save_pretrained(folder / "vae")
