"""Measures of sound which know nothing of the model: pitch, rhythm, timbre and agreement with a mouth."""

from __future__ import annotations

import numpy as np

from wan_app.likeness.vocoder import SAMPLE_RATE

_WINDOW, _STEP = 1024, 160
_LOWEST, _HIGHEST = 65.0, 450.0  # Hz
_MOST_OF_PITCH = 1500.0  # Hz
# Normalised autocorrelation from which a window counts as voiced.
_VOICED = 0.55
# Speech shorter than this says little about a voice.
LEAST_VOICED = 0.25  # seconds


def windows(samples: np.ndarray, size: int = _WINDOW, step: int = _STEP) -> np.ndarray:
    """Overlapping windows (n, size) of samples (m,)."""
    return np.lib.stride_tricks.sliding_window_view(samples, size)[::step]


def pitch_track(samples: np.ndarray) -> np.ndarray:
    """F0 in Hz of the voiced windows of 16 kHz samples (m,), by normalised autocorrelation; empty without any."""
    frames = windows(samples.astype(np.float64))
    loud = np.sqrt((frames**2).mean(1))
    frames = frames[loud > max(0.15 * loud.max(initial=0.0), 1e-4)]
    if not len(frames):
        return np.zeros(0)
    size = 2 * _WINDOW
    spectrum = np.fft.rfft(frames - frames.mean(1, keepdims=True), size)
    # Pitch is in the low harmonics; the high ones make peaks so sharp that they fall between two samples.
    spectrum[:, int(_MOST_OF_PITCH * size / SAMPLE_RATE) :] = 0
    raw = np.fft.irfft(np.abs(spectrum) ** 2)[:, :_WINDOW]
    # The shrinking overlap at longer lags is divided out, or every pitch would seem an octave too high.
    correlation = raw / raw[:, :1].clip(1e-12) / (1 - np.arange(_WINDOW) / _WINDOW)
    low, high = int(SAMPLE_RATE / _HIGHEST), int(SAMPLE_RATE / _LOWEST)
    inside = correlation[:, low:high]
    best = inside.max(1)
    # The first lag that is nearly as good as the best: its multiples are as good in a steady voice.
    lags = low + np.argmax(inside >= 0.93 * best[:, None], axis=1)
    lags = np.array([_top(row, lag) for row, lag in zip(correlation, lags)])
    return SAMPLE_RATE / lags[best > _VOICED]


def _top(row: np.ndarray, lag: int) -> float:
    """The peak uphill from `lag`, between samples by a parabola."""
    while lag + 1 < len(row) - 1 and row[lag + 1] > row[lag]:
        lag += 1
    a, b, c = row[lag - 1], row[lag], row[lag + 1]
    bend = a - 2 * b + c
    return lag + (0.5 * (a - c) / bend if bend < 0 else 0.0)


def median_pitch(samples: np.ndarray) -> float | None:
    """Median F0 in Hz of 16 kHz samples (m,); None where less than a quarter of a second is voiced."""
    track = pitch_track(samples) if len(samples) >= _WINDOW else np.zeros(0)
    return float(np.median(track)) if len(track) >= LEAST_VOICED * SAMPLE_RATE / _STEP else None


def semitones(made: float, true: float) -> float:
    """By how many semitones the pitch `made` lies above `true`, both in Hz."""
    return 12 * float(np.log2(made / true))


def envelope(samples: np.ndarray, rate: float, count: int) -> np.ndarray:
    """Loudness (count,) of 16 kHz samples around the moments 0, 1 / rate, ... of `count` frames."""
    half = int(SAMPLE_RATE / rate / 2)
    padded = np.pad(samples, (half, half + SAMPLE_RATE))
    centres = (np.arange(count) * SAMPLE_RATE / rate).astype(int)
    return np.array([np.sqrt((padded[c : c + 2 * half] ** 2).mean()) for c in centres])


def syllable_rate(samples: np.ndarray) -> float:
    """Syllables a second of 16 kHz speech (m,): the strongest rhythm between 1.2 and 5 Hz in its loudness."""
    loud = np.sqrt((windows(samples, 400, 160) ** 2).mean(1))
    loud = (loud - loud.mean()) * np.hanning(len(loud))
    spectrum = np.abs(np.fft.rfft(loud, 8192))
    hertz = np.fft.rfftfreq(8192, 160 / SAMPLE_RATE)
    inside = (hertz >= 1.2) & (hertz <= 5.0)
    return float(hertz[inside][spectrum[inside].argmax()])


def colour(samples: np.ndarray, bands: int = 32) -> np.ndarray:
    """Long-term spectrum (bands,) of the loud windows, in log power with its mean taken out: a crude timbre."""
    frames = windows(samples, 512, 160)
    loud = (frames**2).mean(1)
    power = (np.abs(np.fft.rfft(frames[loud > 0.2 * loud.max()] * np.hanning(512))) ** 2).mean(0)
    edges = np.unique(np.geomspace(4, len(power), bands + 1).astype(int))
    log = np.log([power[a:b].mean() + 1e-9 for a, b in zip(edges, edges[1:])])
    return log - log.mean()


def best_lag(mouth: np.ndarray, loud: np.ndarray, most: int = 4) -> int:
    """By how many frames `loud` (n,) follows `mouth` (n,) where the two agree best."""
    def agreement(lag: int) -> float:
        a, b = (mouth[: len(mouth) - lag], loud[lag:]) if lag >= 0 else (mouth[-lag:], loud[:lag])
        return correlation(a, b)

    return max(range(-most, most + 1), key=agreement)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's, 0 where one does not change."""
    if first.std() < 1e-9 or second.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
