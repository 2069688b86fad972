"""Sound in memory: its type, and cutting and mixing it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wan_app.families.parts.recording import resampled
from wan_app.media.loudness import limited, loudness

# Music this much (LU) below speech is heard, and every word understood.
UNDER_SPEECH = 14.0
_FADE = 0.03  # seconds, where sound is cut off before its end: a hard cut clicks


@dataclass(frozen=True)
class Sound:
    """samples: float32 (channels, n) in [-1, 1], 1 or 2 channels. repairs: phrases for people on what
    was mended when it was read."""

    samples: np.ndarray
    sample_rate: int
    repairs: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples.shape[1] / self.sample_rate


def fit(sound: Sound, seconds: float) -> Sound:
    """`sound` of exactly `seconds`: its end cut off, or silence behind it."""
    length = round(seconds * sound.sample_rate)
    more = length - sound.samples.shape[1]
    if more >= 0:
        return replace(sound, samples=np.pad(sound.samples, ((0, 0), (0, more))))
    samples = sound.samples[:, :length].copy()
    fade = min(length, round(_FADE * sound.sample_rate))
    samples[:, length - fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return replace(sound, samples=samples)


def mix(under: Sound, over: Sound, *, quieter: float | None = None) -> Sound:
    """Both at once, as long as `over`, at the higher rate, in stereo if one of them is.

    quieter: loudness units by which `under` comes to lie below `over`; None mixes it as it is, and
    so does silence in one of them.
    """
    rate = max(under.sample_rate, over.sample_rate)
    above = resampled(over.samples, over.sample_rate, rate)
    below = resampled(fit(under, over.seconds).samples, under.sample_rate, rate)
    below = np.pad(below, ((0, 0), (0, 1)))[:, :above.shape[1]]  # rates that divide badly: one sample
    loud, louder = loudness(below, rate), loudness(above, rate)
    if quieter is not None and loud is not None and louder is not None:
        below = below * np.float32(10 ** ((louder - quieter - loud) / 20))
    return Sound(limited(above + below, rate), rate, under.repairs + over.repairs)


def sixteen_bit(samples: np.ndarray) -> np.ndarray:
    """int16 (n, channels) of float (channels, n), by the factor that ffmpeg and soundfile read it back with."""
    scaled = samples.T * np.float32(32768.0)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)
