"""Sound in short spectra and back, and at other rates, piece by piece: a song needs no more room than a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import gcd

import numpy as np

RATE = 16_000  # Hz: the marks' own rate, for they stay below 6.5 kHz
HOP = 160  # samples between spectra: 100 a second
FRAME = 3 * HOP  # samples in a spectrum, 30 ms; bins are 33.3 Hz apart
BINS = FRAME // 2 + 1
# Hann, periodic. Its square, every third of a frame, adds up to the same everywhere.
WINDOW = np.hanning(FRAME + 1)[:-1].astype(np.float32)
_WINDOWS_SUM = float((WINDOW**2).sum()) / HOP
_BLOCK = 1000  # spectra at a time: ten seconds
_MARGIN = 0.2  # seconds around a piece that is resampled: what lies further off is not heard in it


def at_rate(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """float32 (channels, round(n * to / rate)): the same sound at the rate `to`, band-limited, without delay."""
    if rate == to:
        return samples
    unit, new_unit = rate // gcd(rate, to), to // gcd(rate, to)
    margin = -(-round(_MARGIN * rate) // unit)  # in units, which both rates divide exactly
    piece = max(margin, _BLOCK * HOP * rate // RATE // unit)
    length, new_length = samples.shape[1], round(samples.shape[1] * to / rate)
    made = np.zeros((samples.shape[0], new_length), np.float32)
    fade = np.ones((piece + 2 * margin) * unit, np.float32)
    # Pieces begin and end in silence, or their ends would ring into each other.
    fade[: margin * unit // 2] = np.sin(np.linspace(0, np.pi / 2, margin * unit // 2)) ** 2
    fade *= fade[::-1]
    for start in range(0, -(-length // unit), piece):
        part = _cut(samples, (start - margin) * unit, fade.size) * fade
        wave = np.fft.irfft(np.fft.rfft(part), fade.size * new_unit // unit) * (to / rate)
        ready = made[:, start * new_unit : (start + piece) * new_unit]
        ready[:] = wave[:, margin * new_unit :][:, : ready.shape[1]]
    return made


def spectra(samples: np.ndarray) -> Iterator[np.ndarray]:
    """complex64 (channels, up to _BLOCK, BINS) of samples (channels, n) at RATE; the first around the first sample."""
    count = samples.shape[1] // HOP + 1
    for first in range(0, count, _BLOCK):
        last = min(count, first + _BLOCK)
        part = _cut(samples, first * HOP - FRAME // 2, (last - first - 1) * HOP + FRAME)
        frames = np.lib.stride_tricks.sliding_window_view(part, FRAME, axis=1)[:, ::HOP]
        yield np.fft.rfft(frames * WINDOW).astype(np.complex64)


def changed(samples: np.ndarray, change: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """float32 (channels, n) at RATE: what `change` makes of the spectra of `samples`, as sound.

    change: gets spectra (channels, count, BINS) and the index of the first, returns others of that shape.
    """
    made = np.zeros((samples.shape[0], samples.shape[1] + 2 * FRAME), np.float32)
    first = 0
    for part in spectra(samples):
        waves = np.fft.irfft(change(part, first), FRAME) * (WINDOW / _WINDOWS_SUM)
        for index, wave in enumerate(waves.swapaxes(0, 1), first):
            made[:, index * HOP : index * HOP + FRAME] += wave
        first += part.shape[1]
    return made[:, FRAME // 2 :][:, : samples.shape[1]]


def _cut(samples: np.ndarray, start: int, length: int) -> np.ndarray:
    """`length` samples from `start` on, with silence where there are none."""
    part = samples[:, max(0, start) : max(0, start + length)]
    before = max(0, -start)
    return np.pad(part, ((0, 0), (before, length - before - part.shape[1])))
