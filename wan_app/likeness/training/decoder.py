"""Train the decoder for its real work, with the encoder frozen: slightly wrong latents in, clean lines out.

The transformer has learned the encoder's latents by now, so only what comes after them may still change:
the decoder, and the enlarger which draws its frames at twice the size.
"""

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

LATENT_NOISE = 0.3


def train_decoder(rank: Rank, folder: Path, minutes: float, batch: int = 8) -> None:
    """Train for `minutes` and write the autoencoder back with its new decoder and enlarger."""
    torch.manual_seed(0)
    model = LikenessAutoencoder.from_pretrained(folder / "vae").to(rank.device).requires_grad_(False)
    for part in (model.decoder, model.linear_out, model.enlarger):
        part.requires_grad_(True)
    model.enlarger.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(4000 + rank.index)
    optimiser, average = Optimiser(model, 8e-4), Average(model, 0.995)
    begin, step, progress = time.time(), 0, 0.0
    while progress < 1:
        small, large = pair(SHAPES[step % len(SHAPES)], batch, rank, generator)
        with rank.autocast():
            with torch.no_grad():
                latents = model.encode(small)
            level = LATENT_NOISE * torch.rand(batch, 1, 1, 1, 1, device=rank.device)
            made_small = model.decode(latents + level * torch.randn_like(latents), enlarge=False)
            # Two frames show the enlarger all there is: a still one, and one of the moving group.
            pick = (0, 1 + step % 4)
            frames = torch.cat([made_small[:, :, i] for i in pick]).to(memory_format=torch.channels_last)
            made_large = model.enlarger(frames)
        true_large = torch.cat([large[:, :, i] for i in pick])
        loss = drawing_loss(made_small.float(), small) + drawing_loss(made_large.float(), true_large)
        loss.backward()
        rank.average_gradients(optimiser.parameters)
        progress = shared_progress(rank, begin, minutes)
        optimiser.step(progress)
        average.update(model)
        if rank.main and step % 50 == 0:
            base = F.interpolate(frames.float(), scale_factor=2, mode="bilinear", align_corners=False)
            print(
                f"decoder {progress:5.1%} step {step} small {psnr(made_small.float(), small):.2f} dB, "
                f"large {psnr(made_large.float(), true_large):.2f} (bilinear {psnr(base, true_large):.2f})",
                flush=True,
            )
        step += 1
    if rank.main:
        model.load_state_dict(average.weights)
        model.save_pretrained(folder / "vae")


def pair(
    shape: tuple[int, int], batch: int, rank: Rank, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same clips, a first frame and one group after it, small and twice as large, in [-1, 1]."""
    scenes = sample_scenes(batch, generator).to(rank.device)
    start = 1 + 4 * int(torch.randint(4, (1,), generator=generator))
    times = torch.cat([torch.zeros(1), clip_times()[start : start + 4]])
    height, width = shape
    return (
        draw_clips(scenes, height, width, times) * 2 - 1,
        draw_clips(scenes, 2 * height, 2 * width, times) * 2 - 1,
    )


def drawing_loss(made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """L1, squared error and L1 of edges."""
    edges = (made.diff(dim=-1) - true.diff(dim=-1)).abs().mean() + (
        made.diff(dim=-2) - true.diff(dim=-2)
    ).abs().mean()
    return F.l1_loss(made, true) + F.mse_loss(made, true) + edges
