"""Pictures as pipelines want them, and the frames that the user gave put back into the clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from wan_app.types import GenerationRequest

if TYPE_CHECKING:
    import numpy as np


def given_frames(request: GenerationRequest) -> Iterator[tuple[int, Path]]:
    """(frame index, picture) of the frames that the user gave; the last frame is -1."""
    if request.image is not None:
        yield 0, request.image
    if request.last_image is not None:
        yield -1, request.last_image


def keep_given(frames: np.ndarray, request: GenerationRequest) -> np.ndarray:
    """`frames` with the given pictures in their places, pixel for pixel, as the user gave them.

    Args:
        frames: uint8 (num_frames, height, width, 3); changed in place.
    """
    import numpy as np

    for index, path in given_frames(request):
        frames[index] = np.asarray(cover(path, (frames.shape[2], frames.shape[1])))
    return frames


def cover(path: Path, size: tuple[int, int]) -> Image.Image:
    """The picture resized and centre-cropped to exactly `size` (width, height)."""
    with Image.open(path) as picture:
        return ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS)


def on_white(path: Path, size: tuple[int, int]) -> Image.Image:
    """The whole picture, as large as fits, in the middle of a white one of `size`.

    Pipelines do this too, but without smoothing as they shrink and with sides of 0 pixels
    for a very long picture.
    """
    with Image.open(path) as picture:
        scale = min(size[0] / picture.width, size[1] / picture.height)
        inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.convert("RGB").resize(inner, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", size, "white")
    canvas.paste(small, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return canvas
