"""The invisible mark of a video: written frame by frame, read blindly from whatever became of the file.

A picture of weak waves is added to every frame, the same in all of them: brightness changes by one or two
steps of 255, more where the picture is busy and hides it. Of its 594 waves 162 (pilots) always have the
same phases, by which a reader finds where the mark lies after cropping, scaling, squashing, mirroring or
turning; the others carry the coded payload in their signs, every coded bit twice. See `carriers`, `payload`.

Why the waves are public and only the check is keyed. With secret waves one install could say nothing of
another's file, while all who see an unmarked and a marked version, or average a few hundred frames, have
the waves all the same, secret or not: a static mark cannot be kept from being copied or jammed. So the
carriers are the same for all, any install says "made by this app, elsewhere" of another's file, and
nobody makes a file that reads as *ours* without the install's key or a file of ours to copy the mark
from. This is provenance for honest use, not security; what resists forgery is the signed manifest.
"""

from __future__ import annotations

import numpy as np

from wan_app.media.marks import payload
from wan_app.media.marks.carriers import pattern
from wan_app.media.marks.smoothing import Smoothing, blocks
from wan_app.media.marks.video_read import VideoMarkReading, read_video_mark

__all__ = ["VideoMarkReading", "VideoMarker", "read_video_mark"]

# Steps of brightness (of 255), root mean square: on flat colour, where it would be seen first, and at most.
WEAKEST, STRONGEST = 1.0, 1.9
# Standard deviation of brightness within a block that raises the mark by one step.
_HIDES = 8.0
# Of the strength, in black: that can only be made brighter, and more would lie on it like a veil (SSIM < .97).
_IN_BLACK = 0.68
_BLOCKS = 30  # along the short side
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class VideoMarker:
    """Marks frames of any size, one at a time, with `identity` and its check under `key`.

    `strength` multiplies the mark; 1 keeps every picture above 42 dB.
    """

    def __init__(self, identity: int, key: bytes, *, strength: float = 1.0) -> None:
        self._coded = payload.encode(identity, key)
        self._strength = np.float32(strength)
        self._pattern = np.zeros((0, 0), np.float32)

    def mark(self, frame: np.ndarray) -> np.ndarray:
        """uint8 (height, width, 3), RGB -> the same with the mark; short sides under 256 are too small to keep it."""
        height, width = frame.shape[:2]
        if self._pattern.shape != (height, width):
            self._prepare(height, width)
        change = self._steps(frame)
        change *= self._pattern
        steps = np.rint(change, out=change).astype(np.int16)
        marked = np.empty_like(frame)
        for channel in range(3):
            marked[..., channel] = np.clip(frame[..., channel] + steps, 0, 255)
        return marked

    def _prepare(self, height: int, width: int) -> None:
        self._pattern = pattern(self._coded, height, width) * self._strength
        rows, columns = (blocks(side, min(height, width) / _BLOCKS) for side in (height, width))
        self._whole = Smoothing(height, width, rows, columns)
        self._halved = Smoothing((height + 1) // 2, (width + 1) // 2, rows, columns)

    def _steps(self, frame: np.ndarray) -> np.ndarray:
        """float32 (height, width): how strong the mark may be, by how much brightness varies around."""
        luma = frame[::2, ::2].astype(np.float32) @ _LUMA
        mean = self._halved.down(luma)
        variance = self._halved.down(np.square(luma, out=luma)) - mean * mean
        spread = np.sqrt(np.maximum(variance, 0.0))
        calm = np.sqrt(_least(spread) * spread)
        steps = np.clip(WEAKEST + calm / _HIDES, WEAKEST, STRONGEST)
        return self._whole.up(steps * np.clip(_IN_BLACK + mean / 16.0, _IN_BLACK, 1.0))


def _least(spread: np.ndarray) -> np.ndarray:
    """The least of each block and its neighbours: one outline on flat colour hides nothing beside it."""
    padded = np.pad(spread, 1, mode="edge")
    rows = np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:])
    return np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
