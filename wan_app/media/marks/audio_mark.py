"""The mark in the sound: written so that nobody hears it, read without the original.

Each cell of a pattern of time and pitch (see `sound_carriers`) is made a little louder or softer. The writer
listens first: where the sound by chance says already what a bit should say, it changes little; where it says
the opposite, more. Under a sound that leaves most bands empty (a rumble, a distant wind) lies a hiss
at -93 dB of full scale, as every CD has, whose cells are there or not. Silence stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from wan_app.media.loudness import limited
from wan_app.media.marks import payload
from wan_app.media.marks.sound_carriers import (
    BAND,
    BANDS,
    CHECK_BITS,
    CODED,
    EDGES,
    ID_BITS,
    PERIOD,
    PILOT,
    SLOT,
    SLOTS,
    band_power,
    carriers,
    evidence,
    roughness,
)
from wan_app.media.marks.sound_spectra import BINS, FRAME, HOP, RATE, WINDOW, at_rate, changed, spectra

# dB by which a bit's cells should stand out on average, and how far one may be turned for that.
_AIM, _LEAST, _MOST = 2.0, 0.7, 3.0
# dB of roughness up to which less is done, and the smallest part of it.
_ROUGH, _SMOOTHEST = 1.5, 0.4
_HISS = 10 ** (-93 / 20)  # as loud as the dither of 16-bit sound
_HISS_BELOW = 0.03  # of the sound around it: the hiss comes and goes with it
_LISTENED = 4 * PERIOD  # spectra after which the writer judges anew, so that any few seconds can be read
# Reading: pieces of 26 s, at most so many of a long file, evenly spread.
_PIECE = 24 * PERIOD
_MOST_PIECES = 40
_SHORT = 6 * PERIOD  # up to here a rate that is a little wrong does no harm
_SPEEDS = tuple(1 + step / 200 for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6))
_FINE = (-0.002, -0.001, 0.0, 0.001, 0.002)
# The pilot's deviations. Above TRIED the id is looked for: one unmarked sound in 300 comes so far, and passes the
# 16-bit check in three decodes once in 22,000 then. Above PRESENT there is a mark, whoever made it; unmarked
# sound stays below 5 (ROBUSTNESS-SOUND.md).
TRIED, PRESENT = 4.5, 6.5
_DECODES = 3

State = Literal["ours", "unreadable", "none"]


@dataclass(frozen=True)
class AudioMarkReading:
    """state: ours; unreadable (a mark, but no id that fits our keys); none. id_low: the lower 32 bits of
    the id. strength: the pilot's deviations. at: seconds into the sound where it was read. speed: by which factor the
    sound runs faster than it was made."""

    state: State
    id_low: int | None = None
    strength: float = 0.0
    at: float = 0.0
    speed: float = 1.0


class _Found(NamedTuple):
    """A place where the pattern may begin, and the cells (SLOTS, BANDS) summed up from there on."""

    strength: float
    speed: float
    cells: np.ndarray


def mark_audio(samples: np.ndarray, rate: int, identity: int, key: bytes, *, strength: float = 1.0) -> np.ndarray:
    """float32 (channels, n): `samples`, float (channels, n) at `rate` Hz, marked with the low 32 bits of `identity`.

    What is not finite becomes silence, which comes back as it is; peaks that would rise above 1 are turned down.

    strength: 1 is inaudible; more for a sound that could not be read back.
    """
    marked = _clean(samples)
    if not marked.any():
        return marked
    code = payload.encode(identity & 0xFFFFFFFF, key, id_bits=ID_BITS, check_bits=CHECK_BITS)
    low = at_rate(marked, rate, RATE)
    power, level = _heard(low)
    hiss = np.minimum(_HISS * strength, _HISS_BELOW * level)
    gains = _gains(power, hiss, carriers().pattern(code), strength)
    added = at_rate(_difference(low, gains, hiss), RATE, rate)[:, : marked.shape[1]]
    marked[:, : added.shape[1]] += added  # rates that divide badly: one sample less
    return limited(marked, rate) if max(float(marked.max()), -float(marked.min())) > 1 else marked


def read_audio_mark(samples: np.ndarray, rate: int, keys: Sequence[bytes]) -> AudioMarkReading:
    """What is found in `samples`, float (channels, n) at `rate` Hz, however it was cut or sped up by 3 %."""
    best = AudioMarkReading("none")
    for start in _starts(samples.shape[1] / rate):
        part = samples[:, round(start * rate) :][:, : round((_PIECE * HOP / RATE) * rate)]
        power = np.concatenate([_power(block) for block in spectra(at_rate(_clean(part), rate, RATE))])
        for found in _tried(power):
            identity = _decoded(found.cells, keys) if found.strength > TRIED else None
            if identity is not None:
                return AudioMarkReading("ours", int(identity), found.strength, start, found.speed)
            if found.strength > best.strength:
                state: State = "unreadable" if found.strength > PRESENT else "none"
                best = AudioMarkReading(state, None, found.strength, start, found.speed)
    return best


def _clean(samples: np.ndarray) -> np.ndarray:
    """A float32 copy in which what is not finite is silence."""
    return np.nan_to_num(samples.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)


def _power(block: np.ndarray) -> np.ndarray:
    """(count, BINS) of spectra (channels, count, BINS): all channels together, for a mark is in each alike."""
    return (block.real**2 + block.imag**2).sum(axis=0)


def _heard(low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power (count, BANDS) of the sound, and how loud all of it is around each moment (count,)."""
    bands, whole = [], []
    for block in spectra(low):
        power = _power(block)
        bands.append(band_power(power))
        whole.append(power.sum(axis=1))
    energy = np.concatenate(whole) / (BINS * float((WINDOW**2).sum()) * low.shape[0])
    around = np.convolve(energy, np.hanning(43)[1:-1] / 21, mode="same")
    return np.concatenate(bands), np.sqrt(around[: len(energy)]).astype(np.float32)


def _gains(power: np.ndarray, hiss: np.ndarray, pattern: np.ndarray, strength: float) -> np.ndarray:
    """dB (count, BANDS) by which each moment is turned up or down."""
    here = (np.arange(len(power)) // SLOT) % SLOTS
    wanted = pattern[here]
    # The hiss as it will be heard: where cells are louder.
    faint = (hiss[:, None] ** 2) * float((WINDOW**2).sum()) * BAND * (wanted > 0)
    # On a steady tone little is heard soon, and read as soon; in a rough sound it takes more.
    ease = np.clip(roughness(evidence(power + faint)[1]) / _ROUGH, _SMOOTHEST, 1.0)
    aim = _AIM * strength * ease
    turned = np.full_like(power, _AIM * strength)
    for _ in range(3):
        says, weight = evidence(power * 10 ** (turned * ease * wanted / 10) + faint)
        for start, end in _stretches(len(power)):
            part = slice(start, end)
            missing = _mean(aim[part] * weight[part] - says[part] * wanted[part], weight[part], here[part])
            turned[part] = np.clip(turned[part] + missing[here[part]], _LEAST * strength, _MOST * strength)
    return turned * ease * wanted


def _stretches(count: int) -> Iterator[tuple[int, int]]:
    """First and last of the moments that are judged together; a short rest belongs to the one before."""
    starts = list(range(0, max(1, count - PERIOD), _LISTENED))
    yield from zip(starts, [*starts[1:], count])


def _mean(values: np.ndarray, weight: np.ndarray, here: np.ndarray) -> np.ndarray:
    """(SLOTS, BANDS): for each cell, the mean over all cells of its bit of weighted `values` (count, BANDS).

    here: the slot (count,) of each moment.
    """
    cells, weights = np.zeros((SLOTS, BANDS)), np.zeros((SLOTS, BANDS))
    np.add.at(cells, here, values)
    np.add.at(weights, here, weight)
    bit = carriers().bit
    # The pilot is heard as a whole, so each of its cells counts as one part of ten of it.
    owner = np.where(bit == PILOT, CODED + np.arange(BANDS) * 10 // BANDS, bit).ravel()
    total = np.bincount(owner, cells.ravel()) / np.maximum(np.bincount(owner, weights.ravel()), 1e-9)
    return total[owner].reshape(SLOTS, BANDS)


def _difference(low: np.ndarray, gains: np.ndarray, hiss: np.ndarray) -> np.ndarray:
    """What the mark adds to `low`, float32 (channels, n) at RATE."""
    noise = np.random.default_rng(0)
    inside = EDGES[-1] - EDGES[0]
    # Spectra drawn anew every 10 ms, as loud together as white noise of that level.
    scale = FRAME * np.sqrt(1.125 / inside) / 2

    def change(block: np.ndarray, first: int) -> np.ndarray:
        turned = np.repeat(gains[first : first + block.shape[1]], BAND, axis=1)
        soft = np.pad(turned, ((0, 0), (EDGES[0], BINS - EDGES[-1])))
        soft[:, 1:-1] = (soft[:, :-2] + 2 * soft[:, 1:-1] + soft[:, 2:]) / 4
        made = block * (10 ** (soft / 20) - 1)
        there = scale * hiss[first : first + len(turned), None] * (turned > 0)
        for part in (1, 1j):
            made[:, :, EDGES[0] : EDGES[-1]] += part * there * noise.standard_normal(turned.shape, np.float32)
        return made

    return changed(low, change)


def _starts(seconds: float) -> list[float]:
    """Where pieces begin, in seconds."""
    piece = _PIECE * HOP / RATE
    count = max(1, round(seconds / piece))
    if count == 1:
        return [0.0]
    return np.linspace(0.0, max(0.0, seconds - piece), min(count, _MOST_PIECES)).tolist()


def _tried(power: np.ndarray) -> list[_Found]:
    """The places, best first, where the pattern most likely begins; a speed of 1 first and alone if it is clear."""
    found: list[_Found] = []
    same = evidence(band_power(power))[0]
    for speed in _SPEEDS:
        # Sped up with its pitch, or (`same`) without.
        heard = [same] if speed == 1 else [evidence(band_power(power, speed))[0], same]
        fine = _FINE if len(power) > _SHORT else (0.0,)
        for says in heard:
            for step in fine:
                found += _aligned(says, speed + step)
        if speed == 1 and max(one.strength for one in found) > PRESENT:
            break
    return sorted(found, key=lambda one: -one.strength)[:_DECODES]


def _aligned(says: np.ndarray, speed: float) -> list[_Found]:
    """The two likeliest beginnings of the pattern in `says` (count, BANDS), played at `speed`."""
    made = np.arange(int(len(says) * speed))  # moments as they were when the mark was made
    heard = says[np.minimum(np.round(made / speed).astype(int), len(says) - 1)]
    folded = np.pad(heard, ((0, -len(heard) % PERIOD), (0, 0))).reshape(-1, PERIOD, BANDS).sum(axis=0)
    bit, sign = carriers()
    pilot = np.zeros((PERIOD, BANDS), np.float32)
    pilot[SLOT // 2 :: SLOT] = np.where(bit == PILOT, sign, 0)
    likeness = np.fft.irfft((np.fft.rfft(folded, axis=0) * np.fft.rfft(pilot, axis=0).conj()).sum(axis=1), PERIOD)
    spread = np.sqrt(float((folded**2).mean()) * np.abs(pilot).sum()) + 1e-12
    best = np.argsort(-likeness)[:2]
    return [
        _Found(float(likeness[at] / spread), speed, np.roll(folded, -at, axis=0)[SLOT // 2 :: SLOT]) for at in best
    ]


def _decoded(cells: np.ndarray, keys: Sequence[bytes]) -> int | None:
    bit, sign = carriers()
    data = bit != PILOT
    soft = np.bincount(bit[data], (cells * sign)[data], CODED)
    bits = payload.viterbi(soft, ID_BITS + CHECK_BITS)
    return payload.checked(bits, list(keys), id_bits=ID_BITS, check_bits=CHECK_BITS)
