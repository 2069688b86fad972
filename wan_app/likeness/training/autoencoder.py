"""Train the autoencoder: principal components first, then everything around them, then the enlarger."""

from __future__ import annotations

from pathlib import Path

import torch

from wan_app.likeness.autoencoder import CELL, GROUP, PATCH, LikenessAutoencoder
from wan_app.likeness.training.course import Course
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.world.attributes import Scenes, sample_scenes
from wan_app.likeness.world.render import clip_times, draw_background, draw_clips, pixel_grid

# Height and width of the three shapes before enlarging; square twice, it is the default.
SHAPES = ((64, 64), (64, 64), (48, 80), (80, 48))
LATENT_NOISE = 0.05


def clip_groups(
    scenes: Scenes, height: int, width: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frame groups (N, 3, 4, H, W) in [-1, 1], a still one and a moving one a clip, and weights (N, 1, 4, H, W).

    People weigh three times their background: a face is a few pixels of what everyone looks at.
    """
    device = scenes.numbers["x"].device
    start = 1 + GROUP * int(torch.randint(4, (1,), generator=generator))
    times = torch.cat([torch.zeros(1), clip_times()[start : start + GROUP]])
    video = draw_clips(scenes, height, width, times)
    x, y = pixel_grid(height, width, device)
    ground = draw_background(scenes, x, y)[:, :, None]
    weight = 1 + 2 * ((video - ground).abs().amax(1, keepdim=True) > 0.03).float()
    still = video[:, :, :1].expand(-1, -1, GROUP, -1, -1)
    still_weight = weight[:, :, :1].expand(-1, -1, GROUP, -1, -1)
    few = len(scenes) // 5  # stills are easy
    groups = torch.cat([still[:few], video[:, :, 1:]])
    weights = torch.cat([still_weight[:few], weight[:, :, 1:]])
    return groups * 2 - 1, weights


def reconstruction_loss(made: torch.Tensor, true: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """L1 + MSE / 2 + L1 of edges / 2, weighted by pixel."""
    error = made - true
    edges = sum((made.diff(dim=axis) - true.diff(dim=axis)).abs().mean() for axis in (-1, -2))
    return (weight * (error.abs() + 0.5 * error * error)).mean() / weight.mean() + 0.5 * edges


@torch.no_grad()
def start_from_components(
    model: LikenessAutoencoder, rank: Rank, generator: torch.Generator, clips: int = 96
) -> None:
    """Set the linear maps to the principal components of rendered cells, scaled half-way to whiteness."""
    cells = []
    for height, width in SHAPES[1:]:
        groups, _ = clip_groups(sample_scenes(clips, generator).to(rank.device), height, width, generator)
        h, w = height // CELL, width // CELL
        cut = groups.unflatten(4, (w, CELL)).unflatten(3, (h, CELL)).permute(0, 3, 5, 1, 2, 4, 6)
        cells.append(cut.reshape(-1, PATCH))
    data = torch.cat(cells)
    mean = data.mean(0)
    covariance = (data - mean).T @ (data - mean) / len(data)
    values, vectors = torch.linalg.eigh(covariance)
    top = vectors[:, -model.config.channels :].flip(1)
    deviation = values[-model.config.channels :].flip(0).clamp(min=1e-8).sqrt()
    # Half-way: fully white latents would make the transformer spend itself on the faintest detail,
    # unscaled ones would hide that detail under noise until the very last step.
    scale = deviation.rsqrt()
    scale = scale / (deviation * scale).square().mean().sqrt()
    model.linear_in.weight.copy_((top * scale).T)
    model.linear_in.bias.copy_(-(mean @ top) * scale)
    model.linear_out.weight.copy_(top / scale)
    model.linear_out.bias.copy_(mean)


def train_autoencoder(rank: Rank, folder: Path, minutes: float, batch: int = 24) -> None:
    """Train for `minutes` of wall time and save to `folder`; starts from what is there when present.

    The latents' statistics are measured at the end. The enlarger is left for `decoder.train_decoder`.
    """
    generator = torch.Generator().manual_seed(1000 + rank.index)
    torch.manual_seed(0)
    if (folder / "vae").exists():
        model = LikenessAutoencoder.from_pretrained(folder / "vae").to(rank.device)
    else:
        model = LikenessAutoencoder().to(rank.device)
        start_from_components(model, rank, torch.Generator().manual_seed(1))
    model.enlarger.requires_grad_(False)
    for block in (*model.encoder.blocks, *model.decoder.blocks):
        block.compile(dynamic=False)
    course = Course(rank, model, minutes, 1.5e-3, adam_rate=5e-4, decay=0.998)
    for step in course:
        height, width = SHAPES[step % len(SHAPES)]
        groups, weight = clip_groups(
            sample_scenes(batch, generator).to(rank.device), height, width, generator
        )
        with rank.autocast():
            latents = model.encode_groups(groups)
            made = model.decode_groups(latents + LATENT_NOISE * torch.randn_like(latents))
        loss = reconstruction_loss(made.float(), groups, weight) + 1e-4 * latents.float().square().mean()
        if course.learn(loss):
            course.tell("autoencoder", f"loss {loss.item():.4f} psnr {psnr(made.float(), groups):.2f}")
    if course.finish():
        measure_latents(model, rank, generator)
        model.save_pretrained(folder / "vae")


@torch.no_grad()
def measure_latents(model: LikenessAutoencoder, rank: Rank, generator: torch.Generator) -> None:
    """Store per-channel means, and deviations softened towards their overall level."""
    parts = []
    for height, width in SHAPES:
        groups, _ = clip_groups(sample_scenes(64, generator).to(rank.device), height, width, generator)
        parts.append(model.encode_groups(groups).transpose(0, 1).flatten(1))
    latents = torch.cat(parts, 1)
    model.latents_mean.copy_(latents.mean(1))
    # One scale for all channels keeps the balance that training found between coarse and fine.
    model.latents_std.copy_(
        (latents - latents.mean(1, keepdim=True)).square().mean().sqrt().expand_as(model.latents_std)
    )
    print("latent deviations", [round(float(v), 2) for v in latents.std(1)], flush=True)


def psnr(made: torch.Tensor, true: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of signals in [-1, 1]."""
    return float(10 * torch.log10(4 / (made.detach().clamp(-1, 1) - true).square().mean()))
