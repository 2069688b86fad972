"""Frames that come once, to be had again: a file may have to be written a second time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def replayable(frames: Iterable[np.ndarray], part: Path) -> Iterator[Iterable[np.ndarray]]:
    """`frames`, which can be gone through as often as is wished.

    What comes one at a time (a long film) is kept raw beside the growing file `part`, and not in memory.
    """
    if isinstance(frames, (np.ndarray, Sequence)):
        yield frames
        return
    file = part.with_name(f"{part.stem}.frames.part")
    try:
        yield _Spooled(iter(frames), file)
    finally:
        file.unlink(missing_ok=True)


class _Spooled:
    """The frames of an iterator, which are written down as they come for the first time."""

    def __init__(self, source: Iterator[np.ndarray], file: Path) -> None:
        self._source, self._file = source, file
        self._shape: tuple[int, ...] | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._first() if self._shape is None else self._again(self._shape)

    def _first(self) -> Iterator[np.ndarray]:
        with open(self._file, "wb") as file:
            for frame in self._source:
                self._shape = frame.shape
                file.write(np.ascontiguousarray(frame).tobytes())
                yield frame

    def _again(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        size = int(np.prod(shape))
        with open(self._file, "rb") as file:
            while data := file.read(size):
                yield np.frombuffer(data, np.uint8).reshape(shape)
