"""Small pictures and clips that the media tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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
