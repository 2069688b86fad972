"""By how much decoded sound lies behind the sound that was to be heard."""

from __future__ import annotations

import numpy as np


def lag(heard: np.ndarray, sent: np.ndarray, sample_rate: int) -> tuple[float, float]:
    """Seconds (to 1/16000) that `heard` is late against `sent`, by the peak of their cross-correlation, and how
    alike they are there: about 1 for the same sound, 0 for another or for silence.

    Args:
        heard, sent: float (channels, n) at the same rate; their lengths may differ.
    """
    if heard.shape[0] != sent.shape[0]:
        heard, sent = heard.mean(axis=0, keepdims=True), sent.mean(axis=0, keepdims=True)
    step = max(1, sample_rate // 16_000)  # finer than anybody hears, and a third of the work
    heard, sent = _averaged(heard, step), _averaged(sent, step)
    energy = float(np.sqrt((heard.astype(float) ** 2).sum() * (sent.astype(float) ** 2).sum()))
    if not energy:
        return 0.0, 0.0
    # As long as both together: else a sound that is late would seem to come round from the end.
    size = 1 << (heard.shape[1] + sent.shape[1] - 1).bit_length()
    spectrum = (np.fft.rfft(heard, size) * np.fft.rfft(sent, size).conj()).sum(axis=0)
    likeness = np.fft.irfft(spectrum, size)
    peak = int(likeness.argmax())
    late = peak if peak < heard.shape[1] else peak - size
    return late * step / sample_rate, float(likeness[peak]) / energy


def _averaged(samples: np.ndarray, step: int) -> np.ndarray:
    """float (channels, n // step): the means of every `step` samples."""
    length = samples.shape[1] // step * step
    return samples[:, :length].reshape(samples.shape[0], -1, step).mean(axis=2)
