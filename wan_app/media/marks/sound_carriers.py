"""Where in a sound its mark lies, and how it is felt there: small cells of time and pitch, a little louder or softer.

    time  ->  22 slots of 50 ms, over and over      pitch ->  46 bands of 133 Hz from 0.34 to 6.4 kHz
    a cell   belongs to one coded bit, or to the pilot that says where the pattern begins

The pattern is public, so that a mark of another install is seen as a mark; only the check inside is keyed.
1.1 s, so that no usual beat (60, 90, 100, 120 a minute) falls on the same slots again and again.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from wan_app.media.marks import payload
from wan_app.media.marks.sound_spectra import BINS

ID_BITS = 32
CHECK_BITS = 16
CODED = payload.coded_bits(id_bits=ID_BITS, check_bits=CHECK_BITS)
SLOTS = 22
SLOT = 5  # spectra a slot
PERIOD = SLOTS * SLOT
BAND = 4  # bins a band
EDGES = np.arange(10, 195, BAND)  # in bins
BANDS = len(EDGES) - 1
PILOT = -1
_PILOT_SLOTS = 4  # of 22, in each band
_AROUND = 41  # spectra over which a cell's surroundings are judged
_CLIP = 2.5  # deviations: a door that slams says no more than this
# dB of roughness that is taken for granted: the mark's own, and what a codec adds to the smoothest tone.
_OWN = 3.0
# Of the mean power: what lies below is the codec's or the number format's, not the sound's.
_FLOOR = 1e-7


class Carriers(NamedTuple):
    """bit: (SLOTS, BANDS), the coded bit a cell carries, or PILOT. sign: float32 (SLOTS, BANDS), +1 or -1."""

    bit: np.ndarray
    sign: np.ndarray

    def pattern(self, code: np.ndarray) -> np.ndarray:
        """float32 (SLOTS, BANDS): +1 where `code`, uint8 (CODED,), makes a cell louder, -1 where softer."""
        says = np.append(1 - 2 * code.astype(np.float32), np.float32(1))  # the pilot always says 0
        return self.sign * says[self.bit]


@lru_cache(maxsize=1)
def carriers() -> Carriers:
    """The pattern of all our marks; from a hash, for random generators change between versions."""
    slots = np.argsort(_random(b"pilot", BANDS * SLOTS).reshape(BANDS, SLOTS), axis=1)
    bands = np.arange(BANDS)[:, None]
    bit = np.full((BANDS, SLOTS), PILOT)
    places = slots[:, _PILOT_SLOTS:]
    # Band after band is dealt out, so that any ten neighbouring bands know every bit.
    rounds = -(-places.size // CODED)
    dealt = np.argsort(_random(b"bits", rounds * CODED).reshape(rounds, CODED), axis=1).ravel()
    bit[bands, places] = dealt[: places.size].reshape(places.shape)
    sign = np.where(_random(b"sign", BANDS * SLOTS) & np.uint64(1), 1, -1).astype(np.float32)
    return Carriers(bit.T.copy(), sign.reshape(SLOTS, BANDS))


def band_power(power: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """float32 (count, BANDS) of power (count, BINS), in bands that lie higher by the factor `scale`."""
    below = np.pad(np.cumsum(power, axis=1, dtype=np.float64), ((0, 0), (1, 1)), mode="constant")
    below[:, -1] = below[:, -2]
    edges = np.clip(EDGES * scale, 0, BINS)
    whole = edges.astype(int)
    under = below[:, whole] + (edges - whole) * (below[:, whole + 1] - below[:, whole])
    return np.diff(under, axis=1).astype(np.float32)


def evidence(bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much louder than its surroundings a slot around each moment is, and what that weighs.

    Args:
        bands: power (count, BANDS), 100 a second.

    Returns:
        Two float32 (count, BANDS): dB times weight, and the weight, one over the surroundings' variance.
    """
    floor = _FLOOR * float(bands.mean()) + 1e-20
    level = _mean(10 * np.log10(bands + floor), SLOT)
    # Against two slots before and after, and then against the neighbouring bands: speech comes and goes
    # in many bands at once, the mark does not.
    for axis, step in ((0, SLOT), (1, 1)):
        level = level - sum(_moved(level, by * step, axis) for by in (-2, -1, 1, 2)) / 4
    louder = level
    rough = _mean(louder**2, _AROUND)
    variance = (rough + _moved(rough, 1, 1) + _moved(rough, -1, 1)) / 3 + _OWN**2
    limit = _CLIP * np.sqrt(variance)
    return np.clip(louder, -limit, limit) / variance, bands / (bands + floor) / variance


def roughness(weight: np.ndarray) -> np.ndarray:
    """dB by which a sound goes up and down of its own, from slot to slot, where `evidence` has that weight."""
    return np.sqrt(np.maximum(1 / np.maximum(weight, 1e-6) - _OWN**2, 0.0))


def _moved(values: np.ndarray, by: int, axis: int) -> np.ndarray:
    """`values` (count, BANDS) moved along `axis`; the edge is repeated."""
    index = np.clip(np.arange(values.shape[axis]) - by, 0, values.shape[axis] - 1)
    return values.take(index, axis=axis)


def _mean(values: np.ndarray, width: int) -> np.ndarray:
    """Means over `width` moments around each."""
    half = width // 2
    total = np.cumsum(np.pad(values, ((half + 1, half), (0, 0)), mode="edge"), axis=0, dtype=np.float64)
    return ((total[width:] - total[:-width]) / width).astype(np.float32)


def _random(name: bytes, count: int) -> np.ndarray:
    """uint64 (count,), the same for ever."""
    return np.frombuffer(hashlib.shake_256(b"wan-app sound mark 1 " + name).digest(8 * count), "<u8")
