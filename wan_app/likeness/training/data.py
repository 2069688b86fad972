"""A growing pool of rendered clips, kept as latents, and the training batches made from it.

Rendering and encoding a clip costs about as much as training on it once, so every clip is used several
times, each time with another caption, mode and noise, while fresh clips keep replacing old ones.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.identity import PICTURE
from wan_app.likeness.training.encoders import disturb
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.world.attributes import Scenes, sample_scenes
from wan_app.likeness.world.captions import caption
from wan_app.likeness.world.render import draw_clips, draw_portraits

# Half of the clips are square, the default shape.
BUCKETS = {(64, 64): 0.5, (48, 80): 0.25, (80, 48): 0.25}
# Clips that a bucket is never without, and that are rendered at once.
MINIMUM = 32
MODES = {"text": 0.40, "reference": 0.35, "image": 0.25}


@dataclass
class Batch:
    """One batch: clean latents (B, C, f, h, w), what is known of them (B, C + 2, f, h, w), captions,
    portraits (B, 3, 64, 64) in [-1, 1], and which samples may look at theirs (B,)."""

    latents: torch.Tensor
    known: torch.Tensor
    captions: list[str]
    portraits: torch.Tensor
    use_identity: torch.Tensor


class Bucket:
    """Clips of one shape: latents, latents of the last frame as a still, portraits, scenes."""

    def __init__(
        self, height: int, width: int, rank: Rank, autoencoder: LikenessAutoencoder, capacity: int
    ) -> None:
        self.height, self.width, self.rank, self.autoencoder = height, width, rank, autoencoder
        self.capacity, self.next, self.size = capacity, 0, 0
        # Room for all clips at once: growing by concatenation would copy hundreds of megabytes every few steps.
        first = self.render(MINIMUM, torch.Generator().manual_seed(0))
        self.latents, self.stills, self.portraits = (
            part.new_zeros(capacity, *part.shape[1:]) for part in first[:3]
        )
        self.scenes = first[3][torch.zeros(capacity, dtype=torch.long, device=rank.device)]

    @torch.no_grad()
    def render(
        self, count: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Scenes]:
        """`count` new clips as (latents, stills, portraits, scenes)."""
        scenes = sample_scenes(count, generator).to(self.rank.device)
        video = draw_clips(scenes, self.height, self.width) * 2 - 1
        still = video[:, :, -1:]
        with self.rank.autocast():
            latents = self.autoencoder.encode(video)
            stills = self.autoencoder.encode(still)
        portraits = disturb(draw_portraits(scenes, PICTURE, generator).cpu(), generator).to(self.rank.device)
        return latents.half(), stills.half(), (portraits * 255).byte(), scenes

    def add(self, count: int, generator: torch.Generator) -> None:
        """Render `count` clips; beyond the capacity they take the places of the oldest."""
        latents, stills, portraits, scenes = self.render(count, generator)
        where = (torch.arange(count, device=latents.device) + self.next) % self.capacity
        self.next, self.size = (self.next + count) % self.capacity, min(self.capacity, self.size + count)
        self.latents[where], self.stills[where], self.portraits[where] = latents, stills, portraits
        self.scenes.replace(where, scenes)


class Pool:
    """Buckets of clips, one a shape, and batches from them."""

    def __init__(self, rank: Rank, autoencoder: LikenessAutoencoder, capacity: int, seed: int) -> None:
        self.rank = rank
        self.generator = torch.Generator().manual_seed(seed * 1000 + rank.index)
        self.rng = random.Random(seed * 1000 + rank.index)
        self.buckets = [
            Bucket(height, width, rank, autoencoder, max(2 * MINIMUM, int(capacity * share)))
            for (height, width), share in BUCKETS.items()
        ]

    def fill(self, count: int) -> None:
        """Render about `count` clips, spread over the shapes as they are trained."""
        for bucket, share in zip(self.buckets, BUCKETS.values()):
            for _ in range(int(count * share) // MINIMUM):
                bucket.add(MINIMUM, self.generator)

    def batch(self, size: int, shape: int) -> Batch:
        """A batch of `size` from bucket number `shape`."""
        bucket = self.buckets[shape]
        rows = torch.randint(bucket.size, (size,), generator=self.generator)
        modes = self.rng.choices(list(MODES), weights=list(MODES.values()), k=size)
        latents = bucket.latents[rows].float()
        known = known_latents(latents, bucket.stills[rows].float(), modes, self.rng)
        # A reference may come with a first picture too, and a face now and then with plain text.
        use = [
            mode == "reference" and self.rng.random() > 0.08 or mode == "image" and self.rng.random() < 0.3
            for mode in modes
        ]
        return Batch(
            latents,
            known,
            [self._caption(bucket.scenes, int(row), mode) for row, mode in zip(rows, modes)],
            bucket.portraits[rows].float() / 127.5 - 1,
            torch.tensor(use, device=latents.device),
        )

    def _caption(self, scenes: Scenes, row: int, mode: str) -> str:
        if self.rng.random() < 0.1:
            return ""
        about = {"text": "everything", "reference": "reference", "image": "motion"}[mode]
        if mode == "image" and self.rng.random() < 0.3:
            about = "everything"
        return caption(scenes, row, self.rng, about=about)


def known_latents(
    latents: torch.Tensor, stills: torch.Tensor, modes: list[str], rng: random.Random
) -> torch.Tensor:
    """Masks and known latents (B, C + 2, f, h, w): the first frames, and at times the last picture."""
    batch, channels, frames, height, width = latents.shape
    known = latents.new_zeros(batch, channels + 2, frames, height, width)
    for row, mode in enumerate(modes):
        if mode != "image":
            continue
        given = rng.choices((1, 2, 3), weights=(0.7, 0.2, 0.1))[0]
        known[row, 0, :given] = 1
        known[row, 2:, :given] = latents[row, :, :given]
        if rng.random() < 0.25:
            known[row, 1, -1] = 1
            known[row, 2:, -1] = stills[row, :, 0]
    return known
