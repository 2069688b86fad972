"""The seam between the app and a speech model, and a resampler for the voices it listens to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from wan_app.types import Reporter

if TYPE_CHECKING:
    import numpy as np


class Recording(NamedTuple):
    """One voice: float32 (samples,) in [-1, 1], mono, at `sample_rate`."""

    samples: np.ndarray
    sample_rate: int


class Speaker(Protocol):
    """A loaded speech model."""

    def speak(self, text: str, voice: Recording | None, *, seed: int, report: Reporter) -> Recording:
        """`text` spoken in `voice`, or in one of the model's own where that is None.

        The same seed gives the same sound.

        Raises:
            errors.Cancelled: from `report`, within one block; the speaker is clean for the next call.
        """

    def close(self) -> None:
        """Free all memory the model holds."""


def resampled(voice: Recording, sample_rate: int) -> Recording:
    """The recording at another rate, band-limited.

    Through one Fourier transform: a voice is seconds long, and neither scipy nor torchaudio is here.
    """
    import numpy as np

    if voice.sample_rate == sample_rate:
        return voice
    common = math.gcd(voice.sample_rate, sample_rate)
    step, wide = voice.sample_rate // common, sample_rate // common
    # Silence behind it makes a whole number of new samples, and keeps the end from ringing into the start.
    blocks = -(-(voice.samples.size + voice.sample_rate // 10) // step)
    spectrum = np.fft.rfft(voice.samples, blocks * step)
    made = np.fft.irfft(spectrum[: blocks * wide // 2 + 1], blocks * wide) * (wide / step)
    length = round(voice.samples.size * sample_rate / voice.sample_rate)
    return Recording(made[:length].astype(np.float32), sample_rate)
