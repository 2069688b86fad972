"""The clips of the robustness table: real results of the app, photographs and film, and worst cases.

Photographs and film come with gradio, a requirement of the app, so that anyone has them. Every clip is
made the same on every machine: uint8 (num_frames, height, width, 3), RGB, at 24 frames a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.robustness.files import frames_of

FPS = 24
FRAMES = 36
ROOT = Path(__file__).resolve().parents[2]


def media(name: str) -> Path:
    """A picture or film that came with gradio, found without importing it."""
    spec = find_spec("gradio")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "media_assets" / name


def example(name: str, count: int = FRAMES) -> np.ndarray:
    """One of the app's own example results, tilted."""
    return np.stack([tilted(frame) for frame in islice(frames_of(ROOT / "assets" / "examples" / name), count)])


def tilted(frame: np.ndarray) -> np.ndarray:
    """`frame` turned by 11 degrees and enlarged to fill its corners: examples carry a mark themselves, and
    that is one of the few things it does not outlive."""
    height, width = frame.shape[:2]
    turned = Image.fromarray(frame).rotate(11, Image.Resampling.BICUBIC)
    box = (width * 0.14, height * 0.14, width * 0.86, height * 0.86)
    return np.asarray(turned.resize((width, height), Image.Resampling.BICUBIC, box=box))


def space(count: int = FRAMES, *, size: tuple[int, int] = (832, 480)) -> np.ndarray:
    """A film of the turning Earth, two thirds of it black, enlarged to `size` as an app would."""
    frames = islice(frames_of(media("videos/world.mp4")), 200, 200 + count)
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BICUBIC)) for f in frames])


def pan(
    name: str, count: int = FRAMES, *, size: tuple[int, int] = (832, 480), step: float = 0.0, zoom: float = 0.0
) -> np.ndarray:
    """A camera moving over a photograph by `step` pixels and closer by `zoom` a frame; both 0: a still."""
    width, height = size
    with Image.open(media(f"images/{name}")) as picture:
        picture = picture.convert("RGB")
        scale = max((width + abs(step) * count) / picture.width, height / picture.height)
        picture = picture.resize(
            (max(width, round(picture.width * scale)), max(height, round(picture.height * scale))),
            Image.Resampling.LANCZOS,
        )
    frames = []
    for index in range(count):
        inner = (width * (1 - zoom * index), height * (1 - zoom * index))
        left = min(step * index + (width - inner[0]) / 2, picture.width - inner[0])
        top = (picture.height - inner[1]) / 2
        box = (left, top, left + inner[0], top + inner[1])
        frames.append(np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=box)))
    return np.stack(frames)


def texture(
    count: int = FRAMES, *, size: tuple[int, int] = (832, 480), step: int = 3, seed: int = 1
) -> np.ndarray:
    """Cloudy noise of all scales, panning: as busy as pictures get."""
    width, height = size
    wide = width + step * count
    random = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(wide)
    falloff = 1 / np.maximum(np.hypot(fx, fy), 1 / 256) ** 1.3
    planes = []
    for _ in range(3):
        plane = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, wide))) * falloff, (height, wide))
        planes.append(plane / plane.std())
    colour = 120 + 38 * (np.stack(planes, -1) * 0.4 + planes[0][..., None] * 0.9)
    whole = colour.clip(0, 255).astype(np.uint8)
    return np.stack([whole[:, step * index:step * index + width] for index in range(count)])


def drawn(count: int = FRAMES, *, size: tuple[int, int] = (832, 480)) -> np.ndarray:
    """A flat cartoon: hills, a sun, a ball that bounces; sharp edges and no texture at all."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    frames = []
    for index in range(count):
        frame = np.empty((height, width, 3), np.uint8)
        frame[:] = (126, 200, 240)
        frame[(x - width * 0.8) ** 2 + (y - height * 0.2) ** 2 < (height * 0.1) ** 2] = (250, 220, 90)
        frame[y > height * (0.66 + 0.08 * np.sin(x / width * 7 + 1))] = (90, 170, 80)
        ball = (width * (0.15 + 0.7 * index / count), height * (0.6 - 0.3 * abs(np.sin(index / 7))))
        away = np.hypot(x - ball[0], y - ball[1]) / height
        frame[away < 0.13] = (40, 30, 40)
        frame[away < 0.12] = (220, 60, 70)
        frames.append(frame)
    return np.stack(frames)


def dark(count: int = FRAMES) -> np.ndarray:
    """A night shot: a photograph at an eighth of its light, with a sensor's noise that changes."""
    random = np.random.default_rng(3)
    frames = pan("groot.jpeg", count, step=1.0) * np.float32(0.12)
    return np.stack([(f + random.normal(2, 1.5, f.shape)).clip(0, 255).astype(np.uint8) for f in frames])


def small(count: int = FRAMES) -> np.ndarray:
    """A small result, enlarged to twice its size as the app does before it marks and writes it."""
    frames = pan("cheetah.jpg", count, size=(256, 256), step=1.0)
    return np.stack([np.asarray(Image.fromarray(f).resize((512, 512), Image.Resampling.BICUBIC)) for f in frames])


def handheld(count: int = FRAMES) -> np.ndarray:
    """A hand-held camera: a photograph that sways and shakes, with the grain of a sensor."""
    random = np.random.default_rng(4)
    with Image.open(media("images/groot.jpeg")) as picture:
        picture = picture.convert("RGB").resize((920, round(920 * picture.height / picture.width)))
    frames = []
    for index in range(count):
        left, top = 44 + 30 * np.sin(index / 9) + random.normal(0, 1), 20 + 15 * np.sin(index / 13)
        frame = np.asarray(picture.resize((832, 480), Image.Resampling.BICUBIC, box=(left, top, left + 832, top + 480)))
        frames.append((frame + random.normal(0, 2.5, frame.shape)).clip(0, 255).astype(np.uint8))
    return np.stack(frames)


def flat(count: int = FRAMES) -> np.ndarray:
    """One colour and nothing else."""
    return np.full((count, 480, 832, 3), (60, 120, 180), np.uint8)


class Clip(NamedTuple):
    """A clip of the table: what it shows, how it is made, its frame rate where it has its own, and attacks it
    is known not to outlive."""

    words: str
    make: Callable[[], np.ndarray]
    fps: float = FPS
    limits: tuple[str, ...] = ()


CLIPS: dict[str, Clip] = {
    "talk": Clip("a result of the app (cartoon), 512x512", partial(example, "talk.mp4"), 8),
    "at-home": Clip("a result of the app (cartoon), 512x512", partial(example, "at-home.mp4"), 8),
    "drawn": Clip("flat cartoon, sharp edges, 832x480", drawn),
    "flat": Clip("one colour, 832x480", flat),
    "space": Clip("film of the Earth in space, mostly black, 832x480", space, limits=("h264-32", "messenger")),
    "handheld": Clip("photograph, swaying and shaking, with grain, 832x480", handheld),
    "still": Clip("a photograph standing still, 832x480", partial(pan, "groot.jpeg")),
    "dark": Clip("a night shot with sensor noise, 832x480", dark),
    "texture": Clip("busy texture, slow pan, 832x480", texture, limits=("story", "screenshot")),
    "fast-pan": Clip("photograph, 20 pixels a frame, 1280x720", partial(pan, "tower.jpg", size=(1280, 720), step=20.0)),
    "720p": Clip("photograph, slow pan, 1280x720", partial(pan, "cheetah.jpg", size=(1280, 720), step=2.0)),
    "vertical": Clip("photograph, zoom, 480x832", partial(pan, "tower.jpg", size=(480, 832), zoom=0.003)),
    "small": Clip("photograph of 256x256, enlarged as the app writes it, 512x512", small),
}
