"""The voice encoder: how somebody speaks, as tokens for timbre, pitch pattern and speaking rhythm.

It reads a log-mel spectrogram of the reference. Each kind of token answers its own learned queries and is taught
its own subject by its own heads, so that a voice can be taken apart: `VoiceTokens` names the parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from wan_app.likeness.autoencoder import VitBlock
from wan_app.likeness.vocoder import MELS, log_mel

KINDS = ("timbre", "pitch", "rhythm")
# Numbers that each kind's head tells, standardised; see `training.sound`.
TOLD = {"timbre": ("tract", "tilt", "breath"), "pitch": ("f0", "range"), "rhythm": ("syllables", "accent")}
EACH = 2  # tokens a kind
FINGERPRINT = 48


@dataclass
class VoiceTokens:
    """timbre, pitch, rhythm: (B, EACH, dim) each."""

    timbre: torch.Tensor
    pitch: torch.Tensor
    rhythm: torch.Tensor

    def stacked(self) -> torch.Tensor:
        """(B, 3 * EACH, dim), in the order of KINDS."""
        return torch.cat([self.timbre, self.pitch, self.rhythm], 1)


class LikenessVoiceEncoder(ModelMixin, ConfigMixin):
    """Sound (B, samples) at 16 kHz to `VoiceTokens`."""

    @register_to_config
    def __init__(self, dim: int = 128, layers: int = 3, heads: int = 2, contours: int = 4) -> None:
        super().__init__()
        self.conv_in = nn.Conv1d(MELS, dim, 5, stride=2, padding=2)
        self.conv_next = nn.Conv1d(dim, dim, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(VitBlock(dim, heads) for _ in range(layers))
        self.queries = nn.Parameter(torch.randn(len(KINDS) * EACH, dim) * 0.1)
        self.norm = nn.LayerNorm(dim)
        self.number_heads = nn.ModuleDict({k: nn.Linear(EACH * dim, len(n)) for k, n in TOLD.items()})
        self.contour_head = nn.Linear(EACH * dim, contours)
        self.fingerprint_head = nn.Linear(EACH * dim, FINGERPRINT)

    def forward(self, samples: torch.Tensor) -> VoiceTokens:
        """Tokens of recordings of any length from half a second on."""
        return self.of_mel(log_mel(samples))

    def of_mel(self, mel: torch.Tensor) -> VoiceTokens:
        """Tokens of a log-mel spectrogram (B, T, MELS)."""
        # Loudness is the microphone's, not the speaker's.
        mel = mel - mel.amax((1, 2), keepdim=True)
        x = self.conv_next(F.gelu(self.conv_in(mel.transpose(1, 2)))).transpose(1, 2)
        x = x + _positions(x.shape[1], x)
        x = torch.cat([self.queries.to(x.dtype).expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return VoiceTokens(*self.norm(x[:, : len(self.queries)]).split(EACH, 1))

    def numbers(self, tokens: VoiceTokens) -> dict[str, torch.Tensor]:
        """What the heads tell: a standardised number (B,) by name, and `contour` logits."""
        told: dict[str, torch.Tensor] = {}
        for kind, names in TOLD.items():
            told |= dict(zip(names, self.number_heads[kind](getattr(tokens, kind).flatten(1)).unbind(1)))
        return told | {"contour": self.contour_head(tokens.pitch.flatten(1))}

    def fingerprint(self, tokens: VoiceTokens) -> torch.Tensor:
        """Unit vectors (B, FINGERPRINT) of the timbre: near for one voice, apart for two."""
        return F.normalize(self.fingerprint_head(tokens.timbre.flatten(1)).float(), dim=1)


def _positions(length: int, like: torch.Tensor) -> torch.Tensor:
    """Sine-cosine positions (length, dim) at 20 a second."""
    dim = like.shape[2]
    frequency = torch.exp(torch.arange(dim // 2, device=like.device) * (-6.0 / (dim // 2)))
    angle = torch.arange(length, device=like.device)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], 1).to(like.dtype)
