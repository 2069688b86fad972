"""Bring a voice that was made nearer to its recording, in the vocoder's own curves.

The transformer says how somebody speaks; it has heard only the voices of a cartoon, and a real one comes out
too low and in a stranger's colour. How high a voice lies and how its spectrum falls can be measured in the
recording itself, and both are levels of the curves that are sounded: moved here, melody, rhythm and words stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from wan_app.likeness import hearing
from wan_app.likeness.vocoder import FLOOR, HOP, SAMPLE_RATE, Controls, band_centres, synthesise

_MOST_PITCH = 1.0  # octaves
_MOST_COLOUR = 0.7  # log10 amplitude, 14 dB
_WINDOW = 1024
_SMOOTH = 1.5  # bands
# log10 amplitude of the strongest band, below the loudest moment, at which a moment is no longer speech.
_SPOKEN = -1.2
# log10 amplitude of the strongest band from which there is a voice at all.
_PULSES = -2.0


def revoiced(controls: Controls, recording: np.ndarray) -> Controls:
    """The same speech (one clip) at the pitch and in the colour of a `recording` (samples,) at 16 kHz.

    Controls without speech, and any with a recording without speech, come back as they are.
    """
    # A place may hum: only where there are pulses is anybody speaking.
    pulses = int((controls.harmonic.amax(-1) > _PULSES).sum())
    wanted, made = hearing.median_pitch(recording), hearing.median_pitch(_sounded(controls))
    if wanted is None or made is None or pulses * HOP < hearing.LEAST_VOICED * SAMPLE_RATE:
        return controls
    octaves = float(np.clip(np.log2(wanted / made), -_MOST_PITCH, _MOST_PITCH))
    tuned = replace(controls, f0=controls.f0 * 2**octaves)
    # Compared at the same pitch, or the harmonics of one would lie in the gaps of the other.
    change = _colour(recording) - _colour(_sounded(tuned))
    change = np.clip(change - change.mean(), -_MOST_COLOUR, _MOST_COLOUR)
    spoken = _spoken(tuned)[..., None] * torch.from_numpy(change).to(controls.f0)
    return replace(
        tuned,
        harmonic=(tuned.harmonic + spoken).clamp(min=FLOOR, max=1.0),
        noise=(tuned.noise + spoken).clamp(min=FLOOR, max=1.0),
    )


def _sounded(controls: Controls) -> np.ndarray:
    return synthesise(controls, torch.Generator().manual_seed(0))[0].float().cpu().numpy()


def _spoken(controls: Controls) -> torch.Tensor:
    """How much of each moment (1, T) is speech, 0 to 1: a place's own sound keeps its colour."""
    loud = controls.harmonic.amax(-1)
    return ((loud - loud.amax() - _SPOKEN) / 0.4 + 0.5).clamp(0, 1)


def _colour(samples: np.ndarray) -> np.ndarray:
    """Long-term spectrum (BANDS,) of the loud moments in log10 amplitude, smooth over bands."""
    frames = hearing.windows(samples, _WINDOW)
    loud = (frames**2).mean(1)
    power = (np.abs(np.fft.rfft(frames[loud > 0.1 * loud.max()] * np.hanning(_WINDOW))) ** 2).mean(0)
    centres = band_centres().double().numpy()
    edges = np.concatenate([[0.0], (centres[1:] + centres[:-1]) / 2, [SAMPLE_RATE / 2]])
    bins = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
    inside = (bins >= edges[:-1, None]) & (bins < edges[1:, None])
    level = np.log10((inside * power).sum(1) / inside.sum(1) + 1e-9 * power.max() + 1e-20) / 2
    away = np.arange(len(level))[:, None] - np.arange(len(level))
    kernel = np.exp(-0.5 * (away / _SMOOTH) ** 2)
    return (kernel @ level) / kernel.sum(1)
