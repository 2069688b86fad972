"""What is left of frames when the picture is taken out of them: there a mark is looked for."""

from __future__ import annotations

import numpy as np

from wan_app.media.marks.carriers import TILES
from wan_app.media.marks.smoothing import Smoothing, blocks

# Pictures are reduced by a whole factor to short sides of this to twice this: enough for all waves.
_ENOUGH = 360
# Wider ones count up to this many short sides, from the left: memory stays bounded for any file.
_WIDEST = 3
# Sums of frames kept apart, so that each can count by how much of the mark it kept.
_GROUPS = 48
# Blocks along a tile: of the picture that is taken out, and of the strength of what is left.
_PICTURE, _BUSY = 16.0, 20.0
_QUIET = 3.0  # the variance of a calm picture's residual
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Residuals:
    """Residuals of a video's frames, summed in at most 48 groups of as many frames each.

    groups: float16 (height, width) each. frames: how many were added.
    """

    def __init__(self) -> None:
        self.groups: list[np.ndarray] = []
        self.frames = 0
        self._shape: tuple[int, ...] | None = None
        self._each = 1  # frames a group

    def add(self, frame: np.ndarray) -> None:
        """Take in uint8 (height, width, 3); frames of another size than the first are passed over."""
        if self._shape is None:
            self._prepare(frame.shape)
        if frame.shape != self._shape:
            return
        if self.frames % self._each:
            self.groups[-1] += self._residual(frame)
        else:
            if len(self.groups) == _GROUPS:
                self.groups = [one + other for one, other in zip(self.groups[::2], self.groups[1::2])]
                self._each *= 2
            self.groups.append(self._residual(frame))
        self.frames += 1

    def sum(self) -> np.ndarray:
        """float32 (height, width) of all groups. The first counts as much as all others: files begin with
        a frame coded for itself, in which a mark keeps its place, while others may move it with the picture."""
        rest = np.zeros(self.groups[0].shape, np.float32)
        for group in self.groups[1:]:
            rest += group
        return self.groups[0] + rest / max(1, len(self.groups) - 1) ** 0.5

    def _prepare(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        short = min(shape[:2])
        self._factor = max(1, short // _ENOUGH)
        self._height, self._width = (min(side, _WIDEST * short) // self._factor for side in shape[:2])
        tile = short / self._factor / TILES
        self._picture, self._busy = self._smoothing(tile / _PICTURE), self._smoothing(tile / _BUSY)

    def _smoothing(self, size: float) -> Smoothing:
        return Smoothing(self._height, self._width, blocks(self._height, size), blocks(self._width, size))

    def _residual(self, frame: np.ndarray) -> np.ndarray:
        """float16 (height, width): brightness without its local mean, over its local variance."""
        f, height, width = self._factor, self._height, self._width
        rest = frame[:height * f, :width * f].astype(np.float32) @ _LUMA
        if f > 1:
            rest = rest.reshape(height, f, width, f).mean(axis=(1, 3))
        rest -= self._picture.up(self._picture.down(rest))
        rest /= self._busy.up(self._busy.down(rest * rest)) + _QUIET
        return rest.astype(np.float16)
