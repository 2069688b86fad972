"""Train the decoder for its real work, with the encoder frozen: slightly wrong latents in, clean lines out.

The transformer has learned the encoder's latents by now, so only what comes after them may still change:
the decoder, and the enlarger which draws its frames at twice the size and opens mouths as the sound has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from wan_app.likeness.audio import LikenessAudioAutoencoder
from wan_app.likeness.autoencoder import GROUP, LikenessAutoencoder, sound_by_frame
from wan_app.likeness.training.autoencoder import SHAPES, psnr
from wan_app.likeness.training.course import Course
from wan_app.likeness.training.optim import load_what_fits
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.vocoder import synthesise
from wan_app.likeness.world.attributes import Scenes, more_of, sample_scenes
from wan_app.likeness.world.motion import mouth_opening
from wan_app.likeness.world.render import clip_times, draw_clips
from wan_app.likeness.world.sounds import clip_sound

LATENT_NOISE = 0.3
# Of the clips, so many show somebody who talks: only they have mouths to learn.
MORE_TALK = 0.5
# Mouths are half a percent of a frame: counted like all else they would never be learned.
MOUTH_WEIGHT = 1.5


@dataclass
class Pair:
    """The same moments small and twice as large, in [-1, 1]: `small` (B, 3, 5, H, W), a first frame and a group;
    `large` (B, 3, 2, 2H, 2W) of the frames `pick` with true mouths; `mouths` (B, 1, 2, 2H, 2W), 1 where a mouth
    opens; `sound` (B, 2, 4 Ca)."""

    small: torch.Tensor
    large: torch.Tensor
    mouths: torch.Tensor
    sound: torch.Tensor
    pick: tuple[int, int]


def train_decoder(rank: Rank, folder: Path, minutes: float, batch: int = 8) -> None:
    """Train for `minutes` and write the autoencoder back with its new decoder and enlarger."""
    torch.manual_seed(0)
    model = LikenessAutoencoder()
    load_what_fits(model, folder / "vae")
    model.to(rank.device).requires_grad_(False)
    audio_vae = LikenessAudioAutoencoder.from_pretrained(folder / "audio_vae").to(rank.device)
    for part in (model.decoder, model.linear_out, model.enlarger):
        part.requires_grad_(True)
    model.enlarger.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(4000 + rank.index)
    course = Course(rank, model, minutes, 8e-4)
    for step in course:
        # Two frames show the enlarger all there is: a still one, and one of the moving group.
        pair = draw_pair(SHAPES[step % len(SHAPES)], batch, (0, 1 + step % GROUP), rank, generator, audio_vae)
        with rank.autocast():
            with torch.no_grad():
                latents = model.encode(pair.small)
            level = LATENT_NOISE * torch.rand(batch, 1, 1, 1, 1, device=rank.device)
            small = model.decode(latents + level * torch.randn_like(latents), enlarge=False)
            frames = torch.cat([small[:, :, i] for i in pair.pick]).to(memory_format=torch.channels_last)
            large = model.enlarger(frames, pair.sound.transpose(0, 1).flatten(0, 1))
        large = torch.stack(large.float().chunk(2), 2)
        opened = mouth_error(large, pair)
        loss = drawing_loss(small.float(), pair.small) + drawing_loss(large, pair.large) + MOUTH_WEIGHT * opened
        if course.learn(loss):
            base = F.interpolate(frames.float(), scale_factor=2, mode="bilinear", align_corners=False)
            base = torch.stack(base.chunk(2), 2)
            course.tell(
                "decoder",
                f"small {psnr(small.float(), pair.small):.2f} dB, "
                f"large {psnr(large, pair.large):.2f} (bilinear {psnr(base, pair.large):.2f}), "
                f"mouths {opened.item():.3f} (bilinear {mouth_error(base, pair).item():.3f})",
            )
    if course.finish():
        model.save_pretrained(folder / "vae")


@torch.no_grad()
def draw_pair(
    shape: tuple[int, int],
    batch: int,
    pick: tuple[int, int],
    rank: Rank,
    generator: torch.Generator,
    audio_vae: LikenessAudioAutoencoder,
) -> Pair:
    """Clips with wrong mouths small, as the transformer makes them, and with true ones large."""
    scenes = more_of(("talk",), MORE_TALK, sample_scenes(batch, generator), generator).to(rank.device)
    start = 1 + GROUP * int(torch.randint(4, (1,), generator=generator))
    shown = [0, *range(start, start + GROUP)]
    moments = clip_times().to(rank.device)[shown]
    height, width = shape
    small = draw_clips(scenes, height, width, moments, wrong_mouths(scenes, moments, generator)) * 2 - 1
    chosen = moments[list(pick)]
    true = mouth_opening(scenes, chosen)
    large = draw_clips(scenes, 2 * height, 2 * width, chosen) * 2 - 1
    # Where the mouth is, on any face: one that should stay shut counts as well.
    other = draw_clips(scenes, 2 * height, 2 * width, chosen, (true < 0.5).float()) * 2 - 1
    mouths = ((large - other).abs().amax(1, keepdim=True) > 0.1).float()
    sound = synthesise(clip_sound(scenes), generator)
    with rank.autocast():
        audio = audio_vae.encode(sound)
    level = LATENT_NOISE * torch.rand(batch, 1, 1, generator=generator).to(rank.device)
    heard = sound_by_frame(audio.float() + level * torch.randn_like(audio.float()))
    return Pair(small, large, mouths, heard[:, [shown[i] for i in pick]], pick)


def wrong_mouths(scenes: Scenes, moments: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Openings (N, T): for a third of the scenes the true ones, for a third at half their motion, for a third
    anything that stays as it is."""
    true = mouth_opening(scenes, moments)
    fixed, kind = (torch.rand(len(true), 1, generator=generator).to(true.device) for _ in range(2))
    half = 0.5 * (true + true.mean(1, keepdim=True))
    return torch.where(kind < 1 / 3, true, torch.where(kind < 2 / 3, half, fixed.expand_as(true)))


def mouth_error(made: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Mean absolute error where mouths open."""
    error = (made - pair.large).abs().mean(1, keepdim=True)
    return (error * pair.mouths).sum() / pair.mouths.sum().clamp(min=1)


def drawing_loss(made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """L1, squared error and L1 of edges."""
    edges = (made.diff(dim=-1) - true.diff(dim=-1)).abs().mean() + (
        made.diff(dim=-2) - true.diff(dim=-2)
    ).abs().mean()
    return F.l1_loss(made, true) + F.mse_loss(made, true) + edges
