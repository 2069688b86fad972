"""Local means of a picture, by two small matrix products: numpy has no blur, and this one takes any scale."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


class Smoothing:
    """Means over `rows` x `columns` blocks of a picture (height, width), and their smooth way back."""

    def __init__(self, height: int, width: int, rows: int, columns: int) -> None:
        self._rows, self._rows_up = _matrices(height, rows)
        self._columns, self._columns_up = _matrices(width, columns)

    def down(self, picture: np.ndarray) -> np.ndarray:
        """float32 (height, width) -> the means of its blocks, float32 (rows, columns)."""
        return (self._rows @ picture) @ self._columns.T

    def up(self, means: np.ndarray) -> np.ndarray:
        """float32 (rows, columns) -> float32 (height, width), linear between the blocks' middles."""
        return self._rows_up @ (means @ self._columns_up.T)


def blocks(length: float, size: float) -> int:
    """How many blocks of about `size` go into `length`."""
    return max(1, round(length / size))


@lru_cache(maxsize=64)
def _matrices(length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (count, length) and (length, count)."""
    edges = np.linspace(0, length, count + 1)
    pixel = np.arange(length)
    overlap = np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None])
    down = np.maximum(overlap, 0)
    down /= down.sum(axis=1, keepdims=True)
    place = (pixel + 0.5) / length * count - 0.5
    up = np.maximum(0, 1 - np.abs(place.clip(0, count - 1)[:, None] - np.arange(count)))
    return down.astype(np.float32), up.astype(np.float32)
