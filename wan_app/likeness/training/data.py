"""A growing pool of rendered clips, kept as latents, and the training batches made from it.

Rendering and encoding a clip costs about as much as training on it once, so every clip is used several
times, each time with another caption, mode and noise, while fresh clips keep replacing old ones.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch

from wan_app.likeness.audio import LikenessAudioAutoencoder, sounds_of
from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.identity import PICTURE, LikenessIdentityEncoder
from wan_app.likeness.training.encoders import disturb
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.training.sound import REFERENCE_SECONDS, recordings
from wan_app.likeness.vocoder import synthesise
from wan_app.likeness.voice import LikenessVoiceEncoder
from wan_app.likeness.world.attributes import Scenes, more_of, sample_scenes
from wan_app.likeness.world.captions import caption
from wan_app.likeness.world.render import draw_clips, draw_portraits
from wan_app.likeness.world.sounds import clip_sound

# Half of the clips are square, the default shape.
BUCKETS = {(64, 64): 0.5, (48, 80): 0.25, (80, 48): 0.25}
# Clips that a bucket is never without, and that are rendered at once.
MINIMUM = 32
MODES = {"text": 0.37, "reference": 0.33, "image": 0.30}
MORE_TALK = 0.15
# Who moves is drawn worst.
MORE_MOTION = 0.3
# Of the latents that a clip goes on from, at most; theirs is about 1.
CONTEXT_NOISE = 0.3
STILL_MODES = {"text": 0.55, "reference": 0.45}


@dataclass
class Batch:
    """One batch: clean latents (B, C, f, h, w), what is known of them (B, C + 2, f, h, w), captions, identity
    and voice tokens (B, n, dim), and which samples may read theirs (B,). Clips also have clean audio latents
    (B, Ca, n) and what is known of those (B, Ca + 1, n); stills have None."""

    latents: torch.Tensor
    known: torch.Tensor
    captions: list[str]
    identity: torch.Tensor
    voice: torch.Tensor
    use_identity: torch.Tensor
    use_voice: torch.Tensor
    audio: torch.Tensor | None = None
    known_audio: torch.Tensor | None = None


@dataclass(frozen=True)
class Finished:
    """The networks that are trained already and make the pool's data."""

    vae: LikenessAutoencoder
    identity_encoder: LikenessIdentityEncoder
    audio_vae: LikenessAudioAutoencoder
    voice_encoder: LikenessVoiceEncoder


@dataclass
class Clips:
    """N clips as the transformer needs them: latents of the video, of its last frame as a still and of its sound,
    identity tokens of a portrait, voice tokens of a recording; half precision."""

    latents: torch.Tensor
    stills: torch.Tensor
    audio: torch.Tensor
    identity: torch.Tensor
    voice: torch.Tensor

    def room_for(self, count: int) -> Clips:
        """Zeros for `count` clips of these shapes."""
        return Clips(*(part.new_zeros(count, *part.shape[1:]) for part in vars(self).values()))

    def replace(self, where: torch.Tensor, others: Clips) -> None:
        """Put `others` in the places `where`."""
        for name, value in vars(self).items():
            value[where] = getattr(others, name)


class Bucket:
    """Clips of one shape and their scenes; once it is full, new ones take the places of the oldest."""

    def __init__(self, shape: tuple[int, int], rank: Rank, networks: Finished, capacity: int) -> None:
        self.shape, self.rank, self.networks = shape, rank, networks
        self.capacity, self.next, self.size = capacity, 0, 0
        # Room for all clips at once: growing by concatenation would copy hundreds of megabytes every few steps.
        clips, scenes = self.render(MINIMUM, torch.Generator().manual_seed(0))
        self.clips = clips.room_for(capacity)
        self.scenes = scenes[torch.zeros(capacity, dtype=torch.long, device=rank.device)]

    @torch.no_grad()
    def render(self, count: int, generator: torch.Generator) -> tuple[Clips, Scenes]:
        """`count` new clips and their scenes."""
        # Voices take the longest to learn, and of six actions only one speaks.
        scenes = more_of(("talk",), MORE_TALK, sample_scenes(count, generator), generator)
        scenes = more_of(("walk", "jump", "dance"), MORE_MOTION, scenes, generator).to(self.rank.device)
        video = draw_clips(scenes, *self.shape) * 2 - 1
        still = video[:, :, -1:]
        portraits = disturb(draw_portraits(scenes, PICTURE, generator).cpu(), generator).to(self.rank.device)
        sound = synthesise(clip_sound(scenes), generator)
        seconds = REFERENCE_SECONDS[int(torch.randint(len(REFERENCE_SECONDS), (1,), generator=generator))]
        recorded = recordings(scenes.numbers, seconds, generator)
        with self.rank.autocast():
            made = (
                self.networks.vae.encode(video),
                self.networks.vae.encode(still),
                self.networks.audio_vae.encode(sound),
                self.networks.identity_encoder(portraits * 2 - 1),
                self.networks.voice_encoder(recorded).stacked(),
            )
        return Clips(*(part.half() for part in made)), scenes

    def add(self, count: int, generator: torch.Generator) -> None:
        """Render `count` clips; beyond the capacity they take the places of the oldest."""
        clips, scenes = self.render(count, generator)
        where = (torch.arange(count, device=self.rank.device) + self.next) % self.capacity
        self.next, self.size = (self.next + count) % self.capacity, min(self.capacity, self.size + count)
        self.clips.replace(where, clips)
        self.scenes.replace(where, scenes)


class Pool:
    """Buckets of clips, one a shape, and batches from them."""

    def __init__(self, rank: Rank, networks: Finished, capacity: int, seed: int) -> None:
        self.rank = rank
        self.generator = torch.Generator().manual_seed(seed * 1000 + rank.index)
        self.rng = random.Random(seed * 1000 + rank.index)
        self.buckets = [
            Bucket(shape, rank, networks, max(2 * MINIMUM, int(capacity * share)))
            for shape, share in BUCKETS.items()
        ]

    def fill(self, count: int) -> None:
        """Render about `count` clips, spread over the shapes as they are trained."""
        for bucket, share in zip(self.buckets, BUCKETS.values()):
            for _ in range(int(count * share) // MINIMUM):
                bucket.add(MINIMUM, self.generator)

    def batch(self, size: int, shape: int) -> Batch:
        """A batch of `size` clips from bucket number `shape`."""
        bucket = self.buckets[shape]
        rows, modes = self._draw(bucket, size, MODES)
        latents, audio = bucket.clips.latents[rows].float(), bucket.clips.audio[rows].float()
        known = known_latents(latents, bucket.clips.stills[rows].float(), modes, self.rng)
        batch = self._batch(bucket, rows, modes, latents, known)
        return replace(batch, audio=audio, known_audio=known_sound(audio, known, self.rng))

    def stills(self, size: int, shape: int) -> Batch:
        """A batch of `size` single frames from bucket number `shape`: five times cheaper than clips, and looks are
        learned from them."""
        bucket = self.buckets[shape]
        rows, modes = self._draw(bucket, size, STILL_MODES)
        first, last = bucket.clips.latents[rows, :, :1].float(), bucket.clips.stills[rows].float()
        chosen = torch.rand(size, generator=self.generator).to(first.device) < 0.5
        latents = torch.where(chosen[:, None, None, None, None], first, last)
        return self._batch(bucket, rows, modes, latents, known_latents(latents, latents, modes, self.rng))

    def _draw(self, bucket: Bucket, size: int, modes: dict[str, float]) -> tuple[torch.Tensor, list[str]]:
        rows = torch.randint(bucket.size, (size,), generator=self.generator)
        return rows, self.rng.choices(list(modes), weights=list(modes.values()), k=size)

    def _batch(
        self, bucket: Bucket, rows: torch.Tensor, modes: list[str], latents: torch.Tensor, known: torch.Tensor
    ) -> Batch:
        # A reference may come with a first picture too, and now and then without its face.
        use = [
            mode == "reference" and self.rng.random() > 0.08 or mode == "image" and self.rng.random() < 0.5
            for mode in modes
        ]
        heard = [self.rng.random() < 0.6 for _ in modes]
        captions = [self._caption(bucket.scenes, int(row), mode) for row, mode in zip(rows, modes)]
        return Batch(
            latents,
            known,
            captions,
            bucket.clips.identity[rows].float(),
            bucket.clips.voice[rows].float(),
            torch.tensor(use, device=latents.device),
            torch.tensor(heard, device=latents.device),
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
        given = rng.choices((1, 2, 3), weights=(0.55, 0.35, 0.1))[0]
        known[row, 0, :given] = 1
        known[row, 2:, :given] = latents[row, :, :given]
        if given > 1 and rng.random() < 0.7:
            # What a window of a long clip goes on from is slightly wrong: taken at its word, the faults of one
            # window would be those of the next, and more of them.
            context = known[row, 2:, :given]
            context += rng.uniform(0.0, CONTEXT_NOISE) * torch.randn(context.shape).to(context)
        if rng.random() < 0.25:
            known[row, 1, -1] = 1
            known[row, 2:, -1] = stills[row, :, 0]
    return known


def known_sound(audio: torch.Tensor, known: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Mask and known audio latents (B, Ca + 1, n): at times, the sound of the frames that are given."""
    out = torch.cat([torch.zeros_like(audio[:, :1]), torch.zeros_like(audio)], 1)
    for row, given in enumerate(known[:, 0, :, 0, 0].sum(1).tolist()):
        # One given frame is a picture, which has no sound; more are a clip to go on with.
        if given > 1 and rng.random() < 0.7:
            count = sounds_of(int(given))
            out[row, 0, :count] = 1
            out[row, 1:, :count] = audio[row, :, :count]
    return out
