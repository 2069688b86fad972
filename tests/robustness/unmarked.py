"""Clips without a mark, as different as they come: film, cartoons, photographs, and patterns made to deceive."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from tests.robustness.clips import ROOT, media, tilted
from tests.robustness.files import frames_of

_SHORT = (160, 400)  # short sides: the search of scales is what takes the time


def clips(count: int, length: int, seed: int) -> Iterator[list[np.ndarray]]:
    """`count` clips of `length` frames, uint8 (height, width, 3), every tenth a pattern."""
    random = np.random.default_rng(seed)
    sources = _sources()
    for index in range(count):
        if index % 10 == 9:
            yield _pattern(random, length)
        else:
            path, frames = sources[random.integers(len(sources))]
            yield _cut(_load(path, frames), random, length)


def _sources() -> list[tuple[Path, int]]:
    """Films and pictures, and of how many frames to take every fifth."""
    films = [(media(f"videos/{name}"), frames) for name, frames in (("world.mp4", 600), ("b.mp4", 150), ("a.mp4", 100))]
    cartoons = [(path, 20) for path in sorted((ROOT / "assets" / "examples").glob("*.mp4"))]
    pictures = [(media(f"images/{name}"), 1) for name in ("groot.jpeg", "tower.jpg", "cheetah.jpg", "lion.jpg")]
    return [*films, *cartoons, *pictures, *pictures]


@cache
def _load(path: Path, frames: int) -> list[np.ndarray]:
    """Every fifth of the first `frames`, their short side at most 480."""
    taken = []
    for frame in islice(frames_of(path), 0, frames, 5):
        picture = Image.fromarray(tilted(frame) if path.parent.name == "examples" else frame)
        picture.thumbnail((854, 854) if picture.width > picture.height else (480, 960))
        taken.append(np.asarray(picture))
    return taken


def _cut(source: list[np.ndarray], random: np.random.Generator, length: int) -> list[np.ndarray]:
    """A part of the pictures, at some size, moving a little, perhaps mirrored, brighter or darker."""
    height, width = source[0].shape[:2]
    kept = random.uniform(0.4, 0.95)
    short = int(random.integers(*_SHORT))
    ratio = random.uniform(1.0, 1.78)
    size = (int(short * ratio), short) if random.random() < 0.7 else (short, int(short * ratio))
    w, h = kept * width * 0.98, kept * height * 0.98
    left, top = random.uniform(0, width - w - length), random.uniform(0, height - h)
    first, moving = int(random.integers(len(source))), random.uniform(0, 0.02 * width / max(length, 1))
    gain, mirrored = random.uniform(0.5, 1.3), random.random() < 0.5
    frames = []
    for index in range(length):
        x = max(0.0, min(left + moving * index, width - w))
        picture = Image.fromarray(source[(first + index) % len(source)])
        frame = np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=(x, top, x + w, top + h)))
        frame = (frame * np.float32(gain)).clip(0, 255).astype(np.uint8)
        frames.append(frame[:, ::-1] if mirrored else frame)
    return frames


def _pattern(random: np.random.Generator, length: int) -> list[np.ndarray]:
    """Stripes, grids, rings, noise and plain colour: regular, as a mark is."""
    height, width = int(random.integers(*_SHORT)), int(random.integers(*_SHORT))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    period, angle = random.uniform(4, 60), random.uniform(0, np.pi)
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kind = int(random.integers(6))
    plane = [
        np.sign(np.sin(across * 2 * np.pi / period)),
        np.sign(np.sin(across * 2 * np.pi / period) * np.sin(along * 2 * np.pi / period)),
        np.sin(np.hypot(x - width / 2, y - height / 2) * 2 * np.pi / period),
        np.tile(random.standard_normal((int(period) + 2,) * 2), (80, 80))[:height, :width],
        random.standard_normal((height, width)),
        np.zeros((height, width)),
    ][kind]
    picture = (random.uniform(40, 200) + random.uniform(5, 80) * plane)[..., None] * random.uniform(0.5, 1, 3)
    return [picture.clip(0, 255).astype(np.uint8)] * length
