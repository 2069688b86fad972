"""One recorded voice: read from the store of inputs, and brought to the rate that a model listens at."""

from __future__ import annotations

from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Recording(NamedTuple):
    """One voice: float32 (samples,) in [-1, 1], mono, at `sample_rate`."""

    samples: np.ndarray
    sample_rate: int

    @classmethod
    def read(cls, path: Path) -> Recording:
        """A voice from the store of inputs, where it was put right when it was kept."""
        import soundfile

        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return cls(samples.mean(axis=1), rate)

    def at(self, sample_rate: int) -> Recording:
        """The same voice at another rate."""
        return Recording(resampled(self.samples[None], self.sample_rate, sample_rate)[0], sample_rate)


def resampled(samples: np.ndarray, sample_rate: int, to: int) -> np.ndarray:
    """float32 (channels, round(n * to / sample_rate)): the same sound at the rate `to`, band-limited, without delay.

    Through one Fourier transform: sound here is seconds long, and neither scipy nor torchaudio is here.
    """
    import numpy as np

    if to == sample_rate:
        return samples
    length = samples.shape[1]
    # Silence behind, so that the end does not ring at the start; and a length which divides exactly.
    unit = sample_rate // gcd(sample_rate, to)
    size = -(-(length + sample_rate // 10) // unit) * unit
    new_size = size * to // sample_rate
    # irfft cuts the spectrum off, or goes on with nothing, where the new rate ends.
    made = np.fft.irfft(np.fft.rfft(samples, size), new_size) * (new_size / size)
    return made[:, : round(length * to / sample_rate)].astype(np.float32)
