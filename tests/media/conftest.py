"""Small pictures, clips and sounds that the media tests share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from PIL import Image


def gradient(width: int, height: int, shift: int = 0) -> np.ndarray:
    """uint8 (height, width, 3): smooth, different in every channel and at every corner."""
    y, x = np.mgrid[:height, :width]
    red = 255 * x / max(1, width - 1)
    green = 255 * y / max(1, height - 1)
    blue = np.full_like(red, (40 + 4 * shift) % 256)
    return np.stack([red, green, blue], -1).round().astype(np.uint8)


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(gradient(48, 32))


@pytest.fixture
def clip() -> np.ndarray:
    """uint8 (9, 64, 96, 3)."""
    return np.stack([gradient(96, 64, index) for index in range(9)])


@pytest.fixture
def full_disk(tmp_path: Path) -> Path:
    """A name whose every write fails with ENOSPC."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    return link


def voice(seconds: float = 4.0, rate: int = 16_000, f0: float = 130.0) -> np.ndarray:
    """float32 (n,): a buzz in two formants which opens and closes three times a second, as speech does."""
    t = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(f0 * 2 ** (0.15 * np.sin(2 * np.pi * 0.7 * t))) / rate
    buzz = sum(
        np.sin(k * pitch) / k * (0.2 + sum(np.exp(-(((k * f0 - f) / 250) ** 2)) for f in (600, 1700)))
        for k in range(1, int(3500 / f0))
    )
    opening = np.clip(np.sin(2 * np.pi * 3 * t) + 0.3, 0, 1) + 1e-3
    return (0.4 * buzz * opening / np.abs(buzz * opening).max()).astype(np.float32)


def ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg of imageio-ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Four seconds of an ordinary voice, a WAV of 44.1 kHz."""
    file = tmp_path / "voice.wav"
    soundfile.write(file, voice(rate=44_100), 44_100)
    return file
