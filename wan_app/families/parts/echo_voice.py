"""A recording as Echo's memory of a voice: mel spectrogram and audio latents, without torchaudio.

The numbers are those of Echo's training, as diffusers' own encoder has them; it needs torchaudio, whose
builds follow torch's version closely and are missing from most machines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.families.parts.recording import Recording

if TYPE_CHECKING:
    import numpy as np
    import torch

_WINDOW = 1024
_MAX_SECONDS = 9.62
_QUIETEST = 1e-5


def voice_latents(audio_vae: Any, path: Path) -> torch.Tensor:
    """Normalised latents (1, C, T, bins) of the recording at `path`, fp32.

    Args:
        audio_vae: an AutoencoderKLLTX2Audio, in fp32 as in training.
    """
    voice = Recording.read(path).at(int(audio_vae.config.sample_rate))
    mel = loudest_mel(voice.samples, audio_vae.config)
    latents = audio_vae.encode(mel.to(audio_vae.device, audio_vae.dtype)).latent_dist.mode().float()
    # The statistics are stored flat, by channel and then by pitch.
    flat = (1, latents.shape[1], 1, latents.shape[3])
    mean, std = (one.float().view(flat) for one in (audio_vae.latents_mean, audio_vae.latents_std))
    return (latents - mean) / std


def loudest_mel(samples: np.ndarray, config: Any) -> torch.Tensor:
    """The mel spectrogram (1, 2, T, bins), of the loudest 9.62 seconds where there are more.

    Args:
        samples: mono, at `config.sample_rate`.
    """
    import torch

    waveform = torch.from_numpy(samples).float()
    waveform = torch.nn.functional.pad(waveform, (0, max(0, _WINDOW - waveform.numel())))
    mel = log_mel(waveform, config)
    longest = round(_MAX_SECONDS * config.sample_rate)
    if waveform.numel() > longest:
        start = min(loudest_start(mel, longest // config.mel_hop_length + 1) * config.mel_hop_length,
                    waveform.numel() - longest)  # fmt: skip
        mel = log_mel(waveform[start : start + longest], config)
    # Mono on both channels, time before pitch.
    return mel.T[None, None].expand(1, 2, -1, -1).contiguous()


def log_mel(waveform: torch.Tensor, config: Any) -> torch.Tensor:
    """Logarithm of the mel magnitudes (bins, T), Slaney's scale and norm."""
    import torch
    from transformers.audio_utils import mel_filter_bank

    spectrum = torch.stft(
        waveform, _WINDOW, config.mel_hop_length, window=torch.hann_window(_WINDOW), center=True,
        pad_mode="reflect", return_complex=True,
    ).abs()  # fmt: skip
    bank = mel_filter_bank(
        _WINDOW // 2 + 1, config.mel_bins, 0.0, config.sample_rate / 2, config.sample_rate,
        norm="slaney", mel_scale="slaney",
    )  # fmt: skip
    return (torch.from_numpy(bank).float().T @ spectrum).clamp(min=_QUIETEST).log()


def loudest_start(mel: torch.Tensor, length: int) -> int:
    """Where the loudest `length` columns of `mel` begin, looked for in strides of a quarter of them."""
    last = mel.shape[1] - length
    starts = list(range(0, last + 1, max(1, length // 4)))
    if starts[-1] != last:
        starts.append(last)
    energy = mel.exp().sum(dim=0)
    return max(starts, key=lambda start: float(energy[start : start + length].sum()))
