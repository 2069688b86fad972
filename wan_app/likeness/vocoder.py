"""Sound as a few smooth curves: a source-filter vocoder and the log-mel spectrogram read back from sound.

Speech is a train of pulses (the vocal folds) and noise (breath), each coloured by bands that change over time
(the vocal tract); wind and waves are noise alone. The curves are `Controls`: the toy world writes them, the
audio autoencoder learns to find them in recordings, and `synthesise` makes them sound. Pulses at an exact
pitch are computed and not learned, so a voice is never out of tune by the vocoder's fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE = 16_000
HOP = 200  # samples between control frames: 80 a second
BANDS = 40
MELS = 100
LOW, HIGH = 60.0, 7600.0  # Hz, of the bands
FLOOR = -4.0  # log10 of the quietest amplitude that is told from silence
_FRAME = 2 * HOP
_MEL_WINDOW = _MEL_FFT = 1024


@dataclass
class Controls:
    """f0 (N, T) in Hz; harmonic and noise (N, T, BANDS), log10 amplitudes from FLOOR up; 80 frames a second."""

    f0: torch.Tensor
    harmonic: torch.Tensor
    noise: torch.Tensor


def band_centres() -> torch.Tensor:
    """Centres (BANDS,) in Hz, evenly spaced in mel."""
    mel = torch.linspace(2595 * math.log10(1 + LOW / 700), 2595 * math.log10(1 + HIGH / 700), BANDS)
    return 700 * (10 ** (mel / 2595) - 1)


def synthesise(controls: Controls, generator: torch.Generator | None = None) -> torch.Tensor:
    """Samples (N, T * HOP) of controls (T frames), in about [-1, 1]."""
    spread = _band_to_bin().to(controls.f0)
    pulses = _shaped(_pulses(controls.f0), controls.harmonic @ spread)
    shape = (len(controls.f0), controls.f0.shape[1] * HOP)
    hiss = torch.randn(shape, generator=generator).to(controls.f0)
    return pulses + _shaped(hiss, controls.noise @ spread)


def log_mel(samples: torch.Tensor) -> torch.Tensor:
    """Normalised log-mel spectrogram (N, T, MELS) of 16 kHz samples (N, T * HOP); frame t is centred like a control."""
    left = (_MEL_WINDOW - HOP) // 2
    padded = F.pad(samples[:, None], (left, _MEL_WINDOW - HOP - left), mode="reflect")[:, 0]
    window = torch.hann_window(_MEL_WINDOW, device=samples.device)
    frames = padded.unfold(1, _MEL_WINDOW, HOP) * window
    power = torch.fft.rfft(frames, n=_MEL_FFT).abs().square()
    return torch.log10(power @ _mel_filters().to(samples) + 1e-6) / 3


def _pulses(f0: torch.Tensor) -> torch.Tensor:
    """A band-limited pulse train (N, T * HOP) following f0 (N, T): all harmonics below HIGH, equally strong."""
    pitch = F.interpolate(f0[:, None], scale_factor=HOP, mode="linear", align_corners=False)[:, 0]
    phase = torch.cumsum(pitch.double() / SAMPLE_RATE, 1).mul(2 * math.pi)
    half = (phase % (4 * math.pi)).to(f0.dtype) / 2
    count = (HIGH / pitch).floor()
    # Dirichlet's kernel: the sum of cos(k x) for k = 1..count in closed form.
    bottom = torch.sin(half)
    safe = torch.where(bottom.abs() < 1e-4, torch.full_like(bottom, 1e-4), bottom)
    total = torch.sin(count * half) * torch.cos((count + 1) * half) / safe
    return torch.where(bottom.abs() < 1e-4, count, total) * 2**0.5


def _shaped(source: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """`source` (N, T * HOP) with the spectrum of frame t multiplied by 10 ** level (N, T, bins)."""
    window = torch.hann_window(_FRAME, device=source.device).sqrt()
    frames = F.pad(source, (HOP // 2, HOP // 2)).unfold(1, _FRAME, HOP) * window
    gain = torch.where(level <= FLOOR + 0.05, torch.zeros_like(level), 10**level)
    frames = torch.fft.irfft(torch.fft.rfft(frames) * gain, n=_FRAME) * window
    first, second = frames.flatten(1).unflatten(1, (-1, 2, HOP)).unbind(2)
    whole = F.pad(first.flatten(1), (0, HOP)) + F.pad(second.flatten(1), (HOP, 0))
    return whole[:, HOP // 2 : -(HOP // 2)]


@lru_cache(maxsize=1)
def _band_to_bin() -> torch.Tensor:
    """(BANDS, bins) linear interpolation of band levels to the bins of a frame."""
    centres = band_centres()
    bins = torch.arange(_FRAME // 2 + 1) * (SAMPLE_RATE / _FRAME)
    above = torch.searchsorted(centres, bins.clamp(LOW, HIGH - 1)).clamp(1, BANDS - 1)
    low, high = centres[above - 1], centres[above]
    share = ((bins - low) / (high - low)).clamp(0, 1)
    matrix = torch.zeros(BANDS, len(bins))
    matrix[above - 1, torch.arange(len(bins))] = 1 - share
    matrix[above, torch.arange(len(bins))] += share
    return matrix


@lru_cache(maxsize=1)
def _mel_filters() -> torch.Tensor:
    """(bins, MELS)."""
    filters = mel_filter_bank(
        _MEL_FFT // 2 + 1, MELS, 40.0, 7800.0, SAMPLE_RATE, norm=None, mel_scale="htk"
    )
    return torch.tensor(filters, dtype=torch.float32)
