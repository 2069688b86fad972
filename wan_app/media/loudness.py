"""Loudness as people hear it (ITU-R BS.1770, in LUFS), and sound brought to a loudness."""

from __future__ import annotations

import numpy as np

# Speech and music for the web; what the built-in players of phones expect as well.
TARGET_LUFS = -16.0
# The highest peak we write, -1 dB: AAC may overshoot by a little.
CEILING = 0.89
# Beyond this it is noise that would be made louder.
MAX_GAIN_DB = 40.0
MAKE_UP_DB = 12.0
_LOOK_AHEAD = 0.005  # seconds in which a peak is turned down, too short to be heard


def loudness(samples: np.ndarray, sample_rate: int) -> float | None:
    """Integrated loudness in LUFS of float (channels, samples); None for silence (below -70 LUFS).

    Written here for want of a small library: pyloudnorm would bring scipy, and an ffmpeg process
    costs fifty times the measurement of a clip. A test holds it to ffmpeg's ebur128.
    """
    block = min(samples.shape[1], round(0.4 * sample_rate))
    if not block:
        return None
    energy = (_k_weighted(samples, sample_rate) ** 2).sum(axis=0)
    sums = np.concatenate([[0.0], np.cumsum(energy)])
    starts = np.arange(0, samples.shape[1] - block + 1, max(1, block // 4))
    powers = (sums[starts + block] - sums[starts]) / block
    powers = powers[_lufs(powers) > -70.0]
    if not powers.size:
        return None
    relative = _lufs(powers.mean()) - 10.0
    return float(_lufs(powers[_lufs(powers) > relative].mean()))


def at_loudness(samples: np.ndarray, sample_rate: int, target: float = TARGET_LUFS) -> np.ndarray:
    """float32 (channels, samples) brought to `target` LUFS, its peaks held below -1 dB; silence stays."""
    louder = samples
    for _ in range(2):  # once more, for what the limiter took
        now = loudness(louder, sample_rate)
        if now is None:
            return samples
        gain = min(target - now, MAX_GAIN_DB)
        louder = limited(louder * np.float32(10 ** (gain / 20)), sample_rate)
    return louder


def audible(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """float32 (channels, samples) that may be too quiet, raised towards the target; never made quieter.

    By 12 dB at most: more would make a calm place as loud as a conversation.
    """
    now = loudness(samples, sample_rate)
    if now is None or now >= TARGET_LUFS:
        return samples
    gain = min(TARGET_LUFS - now, MAKE_UP_DB)
    return limited(samples * np.float32(10 ** (gain / 20)), sample_rate)


def limited(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """float32 (channels, samples) with peaks above -1 dB turned down smoothly, all channels alike."""
    peaks = np.abs(samples).max(axis=0, initial=0.0)
    if peaks.max(initial=0.0) <= CEILING:
        return samples
    reach = max(1, round(_LOOK_AHEAD * sample_rate))
    gain = _lowest_around(np.minimum(1.0, CEILING / np.maximum(peaks, CEILING)), 2 * reach)
    # Averaging lowest values over no more than their reach can never rise above what a peak needs.
    smooth = np.convolve(np.pad(gain, reach, mode="edge"), np.hanning(2 * reach + 1), mode="valid")
    return (samples * (smooth / np.hanning(2 * reach + 1).sum())).astype(np.float32)


def _lowest_around(values: np.ndarray, reach: int) -> np.ndarray:
    """The lowest of `values` (n,) within `reach` of each, in log2(reach) passes."""
    lowest, have, want = np.pad(values, reach, mode="edge"), 1, 2 * reach + 1
    while have < want:
        step = min(have, want - have)
        lowest = np.minimum(lowest[:-step], lowest[step:])
        have += step
    return lowest


def _lufs(power: np.ndarray | float) -> np.ndarray:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))


def _k_weighted(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """`samples` through BS.1770's two filters, applied to the spectrum."""
    length = samples.shape[1]
    size = length + sample_rate // 4  # silence behind, into which the 38 Hz filter rings out
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    response = np.ones_like(z)
    for b, a in (_shelf(sample_rate), _high_pass(sample_rate)):
        response *= np.polyval(b[::-1], z) / np.polyval(a[::-1], z)
    return np.fft.irfft(np.fft.rfft(samples, size) * response, size)[:, :length]


def _shelf(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The head's shadow: +4 dB above 1.7 kHz. The numbers give the standard's table at 48 kHz."""
    k = np.tan(np.pi * 1681.974450955533 / sample_rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    b = np.array([high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k])
    return b, np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])


def _high_pass(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Little is heard below 38 Hz. The standard leaves the numerator as it is, which at its 48 kHz
    makes all a little louder; here it does at every rate."""
    k, q = np.tan(np.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    a = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    return np.array([1.0, -2.0, 1.0]) * 1.004995, a
