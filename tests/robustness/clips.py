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

import numpy as np
from PIL import Image

from tests.robustness.files import frames_of

FPS = 24
FRAMES = 60
_ROOT = Path(__file__).resolve().parents[2]


def media(name: str) -> Path:
    """A picture or film that came with gradio, found without importing it."""
    spec = find_spec("gradio")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "media_assets" / name


def example(name: str, count: int = FRAMES) -> np.ndarray:
    """One of the app's own example results."""
    return np.stack(list(islice(frames_of(_ROOT / "assets" / "examples" / name), count)))


def film(count: int = FRAMES, *, start: int = 0, size: tuple[int, int] = (832, 480)) -> np.ndarray:
    """Real film (a documentary's seas and hills), enlarged to `size` as an app would."""
    frames = islice(frames_of(media("videos/world.mp4")), start, start + count)
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


def flat(count: int = FRAMES) -> np.ndarray:
    """One colour and nothing else."""
    return np.full((count, 480, 832, 3), (60, 120, 180), np.uint8)


CLIPS: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
    "talk": ("the app's own cartoon, 512x512", partial(example, "talk.mp4")),
    "dance": ("the app's own cartoon, 512x512", partial(example, "dance.mp4")),
    "at-home": ("the app's own cartoon, 960x576", partial(example, "at-home.mp4")),
    "drawn": ("flat cartoon, sharp edges, 832x480", drawn),
    "flat": ("one colour, 832x480", flat),
    "film": ("real film, 832x480", film),
    "still": ("a photograph standing still, 832x480", partial(pan, "groot.jpeg")),
    "dark": ("a night shot with sensor noise, 832x480", dark),
    "texture": ("busy texture, slow pan, 832x480", texture),
    "fast-pan": ("photograph, 20 pixels a frame, 1280x720", partial(pan, "tower.jpg", size=(1280, 720), step=20.0)),
    "720p": ("photograph, slow pan, 1280x720", partial(pan, "cheetah.jpg", size=(1280, 720), step=2.0)),
    "vertical": ("photograph, zoom, 480x832", partial(pan, "tower.jpg", size=(480, 832), zoom=0.003)),
    "small": ("photograph, slow pan, 256x256", partial(pan, "cheetah.jpg", size=(256, 256), step=1.0)),
}
