"""The audio autoencoder: 16 latents a second, decoded to the curves that the vocoder sounds.

The encoder reads a log-mel spectrogram; the decoder gives back `Controls`: pitch, and the bands of pulses and
noise. It is trained on the world's own curves, so it learns to take sound apart and not only to repeat it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from wan_app.likeness.vocoder import BANDS, FLOOR, HOP, MELS, SAMPLE_RATE, Controls, log_mel, synthesise

STRIDE = 5  # control frames a latent
LATENT_RATE = SAMPLE_RATE / HOP / STRIDE  # 16 latents a second
_F0_MIDDLE, _F0_SPREAD = math.log2(165.0), 0.6  # of the voices in the world, octaves


def sounds_before(frame: int) -> int:
    """Audio latents heard before frame number `frame` is shown: two a frame, at 8 frames a second."""
    return 2 * frame


def sounds_of(latent_frames: int) -> int:
    """Audio latents heard while the frames of `latent_frames` video latents are shown."""
    return sounds_before(4 * (latent_frames - 1) + 1)


class ConvBlock(nn.Module):
    """A residual pair of convolutions over time (B, C, T)."""

    def __init__(self, width: int, kernel: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.gelu(self.first(F.gelu(x))))


class LikenessAudioAutoencoder(ModelMixin, ConfigMixin):
    """Sound (B, samples) at 16 kHz <-> latents (B, channels, n), 16 a second.

    `latents_mean` and `latents_std` are measured after training, as in the video autoencoder.
    """

    @register_to_config
    def __init__(self, channels: int = 24, width: int = 128) -> None:
        super().__init__()
        self.conv_in = nn.Conv1d(MELS, width, 5, padding=2)
        self.before = ConvBlock(width)
        self.shrink = nn.Conv1d(width, width, 7, stride=STRIDE, padding=1)
        self.encoder = nn.Sequential(ConvBlock(width), ConvBlock(width))
        self.to_latents = nn.Conv1d(width, channels, 1)
        self.from_latents = nn.Conv1d(channels, width, 3, padding=1)
        self.decoder = nn.Sequential(ConvBlock(width), ConvBlock(width))
        self.grow = nn.ConvTranspose1d(width, width, STRIDE, stride=STRIDE)
        self.after = nn.Sequential(ConvBlock(width, 5), ConvBlock(width, 5))
        self.conv_out = nn.Conv1d(width, 1 + 2 * BANDS, 3, padding=1)
        self.register_buffer("latents_mean", torch.zeros(channels))
        self.register_buffer("latents_std", torch.ones(channels))

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        """Normalised latents of sound whose length is a whole number of latents (1000 samples each)."""
        raw = self.encode_mel(log_mel(samples))
        return (raw - self.latents_mean[:, None]) / self.latents_std[:, None]

    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Sound (B, n * 1000) of normalised latents; `generator` draws the noise of breath and wind."""
        return synthesise(self.decode_controls(latents), generator)

    def decode_controls(self, latents: torch.Tensor) -> Controls:
        """The curves of normalised latents."""
        return self.controls_of(latents * self.latents_std[:, None] + self.latents_mean[:, None])

    def encode_mel(self, mel: torch.Tensor) -> torch.Tensor:
        """Raw latents (B, channels, T / 5) of a log-mel spectrogram (B, T, MELS)."""
        x = self.before(self.conv_in(mel.transpose(1, 2)))
        return self.to_latents(self.encoder(self.shrink(x)))

    def controls_of(self, raw: torch.Tensor) -> Controls:
        """Controls (5n frames) of raw latents (B, channels, n)."""
        x = self.after(self.grow(self.decoder(self.from_latents(raw))))
        out = self.conv_out(F.gelu(x)).float().transpose(1, 2)
        pitch, bands = out[..., 0], (out[..., 1:] - 2.0).clamp(FLOOR, 1.0)
        f0 = 2 ** (_F0_MIDDLE + _F0_SPREAD * pitch.clamp(-2.5, 2.5))
        return Controls(f0, bands[..., :BANDS], bands[..., BANDS:])
