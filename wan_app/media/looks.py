"""What a film looks like in a few numbers a frame: enough to tell black, still and wrong pictures.

A glance is a frame shrunk to at most 32 x 32 cells, each the mean of its pixels. Of what is sent to the
encoder it is taken here, of the written file by ffmpeg (`GLANCE`), so that the two can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

_CELLS, _PIXELS = 32, 8  # at most so many cells a side, each of so many pixels at least
# A mouth that opens is seven levels and more of a cell (measured on clips of pocket); noise of encoders up to three.
_STILL_CELL = 4
# Levels out of 255 by which pixels may differ and nobody sees it: a model that stands still still rounds.
_SAME = 2
# A night has a star or a lit edge somewhere; what fails leaves nothing. Levels, of the brightest pixel.
_BLACK, _FLAT = 24, 8


def grid(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of a glance at such a frame."""
    return min(_CELLS, max(1, width // _PIXELS)), min(_CELLS, max(1, height // _PIXELS))


# The same as a filter of ffmpeg.
GLANCE = (
    f"scale=w=min({_CELLS}\\,max(1\\,trunc(iw/{_PIXELS}))):h=min({_CELLS}\\,max(1\\,trunc(ih/{_PIXELS})))"
    ":flags=area+accurate_rnd+full_chroma_int"  # without the last one, two cells side by side share their colour
)


def glance(frame: np.ndarray) -> np.ndarray:
    """uint8 (rows, columns, 3) of uint8 (height, width, 3)."""
    height, width = frame.shape[:2]
    return np.asarray(Image.fromarray(frame).resize(grid(width, height), Image.Resampling.BOX))


@dataclass
class Witness:
    """Sees what is sent to the encoder: frames as they were made, and glances at them as they are written."""

    glances: list[np.ndarray] = field(default_factory=list)
    black: int = 0
    flat: int = 0
    moves: bool = False
    _first: np.ndarray | None = None

    def see(self, made: np.ndarray, written: np.ndarray) -> None:
        """One frame before it was enlarged, labelled and marked, and after; uint8 (height, width, 3)."""
        self.glances.append(glance(written))
        self.black += int(made.max()) <= _BLACK
        # Few pixels tell that most frames are not flat; all are looked at only where they don't.
        self.flat += _reach(made[::8, ::8]) <= _FLAT and _reach(made) <= _FLAT
        if self._first is None:
            self._first = made
        elif not self.moves and _differ(self._first, made):
            self.moves = True
            self._first = made[:1]  # a whole frame less in memory

    @property
    def count(self) -> int:
        """Frames so far."""
        return len(self.glances)


def _reach(frame: np.ndarray) -> int:
    """Levels between the darkest and the brightest pixel, in the colour where that is most."""
    pixels = frame.reshape(-1, 3)
    return int((pixels.max(axis=0) - pixels.min(axis=0)).max())


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return int(np.abs(one.astype(np.int16) - other).max()) > _SAME


def misfit(sent: np.ndarray, held: np.ndarray) -> np.ndarray:
    """float64 (frames,): by how many levels the glances of each frame differ where they differ most: in the colour
    that is furthest off, but for a hundredth of the cells."""
    furthest = np.abs(sent.astype(np.int16) - held).max(axis=3)
    return np.percentile(furthest.reshape(len(sent), -1), 99, axis=1)


def shift(sent: np.ndarray, held: np.ndarray) -> int:
    """By how many frames what is held comes later than it was sent: -1, 0 or 1; 0 where it cannot be told."""
    if len(sent) < 3:
        return 0
    errors = {0: _apart(sent, held), 1: _apart(sent[:-1], held[1:]), -1: _apart(sent[1:], held[:-1])}
    best = min(errors, key=lambda one: errors[one])
    return best if errors[0] > 1.5 and errors[best] < errors[0] / 2.5 else 0


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def darkness(glances: np.ndarray) -> np.ndarray:
    """bool (frames,): which have no cell that is brighter than black."""
    return glances.max(axis=(1, 2, 3)) <= _BLACK


def stillness(glances: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) frame of every stretch in which nothing moves, the longest first."""
    found: list[tuple[int, int]] = []
    start = 0
    for index in range(1, len(glances) + 1):
        if index < len(glances):
            change = np.abs(glances[index].astype(np.int16) - glances[start]).max()
            if change <= _STILL_CELL:
                continue
        if index - start > 1:
            found.append((start, index - 1))
        start = index
    return sorted(found, key=lambda one: one[0] - one[1])


def runs(which: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(np.int8)))
    return [(int(first), int(last) - 1) for first, last in zip(edges[::2], edges[1::2])]
