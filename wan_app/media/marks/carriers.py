"""The waves a video mark is made of: where they lie, their phases, and which of them say what.

Frequencies count in cycles per tile, a quarter of the frame's short side, so that plain resizing keeps
them. Waves of 5 to 20 cycles a tile (26 to 6 pixels long at a short side of 512): longer ones drown in
the picture, shorter ones do not outlive encoders. Everything here follows from one public word by
SHAKE-256, which unlike numpy's generators stays the same for good: marks must be read in ten years, too.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from wan_app.media.marks import payload

TILES = 4  # of them lie along the short side
LOWEST, HIGHEST = 5, 20
_WORD = b"wan-app video mark 1"


class Carriers(NamedTuple):
    """The waves of a half plane of frequencies; the other half mirrors it, as pictures are real.

    kx, ky: int (count,), ky >= 0. phasor: complex64 (count,), of bit 0. pilot: int, the carriers whose
    bit is always 0. data: int (copies, coded bits), the carriers of each coded bit.
    """

    kx: np.ndarray
    ky: np.ndarray
    phasor: np.ndarray
    pilot: np.ndarray
    data: np.ndarray


@lru_cache(maxsize=1)
def carriers() -> Carriers:
    """The carriers of every video mark, of every install."""
    ky, kx = np.mgrid[0:HIGHEST + 1, -HIGHEST:HIGHEST + 1].reshape(2, -1)
    radius = np.hypot(kx, ky)
    inside = (radius >= LOWEST) & (radius <= HIGHEST) & ((ky > 0) | (kx > 0))
    kx, ky = kx[inside], ky[inside]
    drawn = np.frombuffer(hashlib.shake_256(_WORD).digest(8 * kx.size), "<u4").reshape(2, -1)
    phasor = np.exp(2j * np.pi * drawn[0] / 2**32).astype(np.complex64)
    order = np.argsort(drawn[1], kind="stable")
    bits = payload.coded_bits()
    copies = int(0.75 * kx.size) // bits  # the rest, about 30 %, finds the mark
    data = order[:copies * bits].reshape(copies, bits)
    return Carriers(kx, ky, phasor, order[copies * bits:], data)


def waves(positions: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """complex64 (positions, frequencies): exp(2 pi i k x), positions in tiles."""
    turns = np.outer(positions, frequencies)
    # Whole turns go while there are digits for them; then float32 is enough, and four times as fast.
    angles = (2 * np.pi * (turns - np.rint(turns))).astype(np.float32)
    result = np.empty(angles.shape, np.complex64)
    np.cos(angles, out=result.real)
    np.sin(angles, out=result.imag)
    return result


def pattern(coded: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 (height, width) with a mean square of 1: the mark of `coded` bits over a whole frame."""
    every = carriers()
    grid = np.zeros((HIGHEST + 1, 2 * HIGHEST + 1), np.complex64)
    signs = np.ones(every.kx.size, np.float32)
    signs[every.data] = 1.0 - 2.0 * coded
    amplitude = np.hypot(every.kx, every.ky) ** -0.5  # encoders eat the short waves first
    grid[every.ky, every.kx + HIGHEST] = signs * every.phasor * amplitude
    tile = min(height, width) / TILES
    rows = waves(np.arange(height) / tile, np.arange(HIGHEST + 1))
    columns = waves(np.arange(width) / tile, np.arange(-HIGHEST, HIGHEST + 1))
    return (rows @ grid @ columns.T).real * np.float32(np.sqrt(2.0 / np.sum(amplitude**2)))
