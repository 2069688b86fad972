"""The judge: a classifier of clips, trained on true renders, used only to evaluate.

It shares no weights with the networks it judges: another architecture, other seeds, pixels for latents. Half
of its training clips have been through the model's autoencoder, so that softness is not taken for error.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn


class LikenessJudge(ModelMixin, ConfigMixin):
    """Video (B, 3, T, H, W) in [-1, 1] to logits per attribute and the mouth's opening: 2D convolutions a frame,
    then 1D over time."""

    @register_to_config
    def __init__(self, classes: dict[str, int] | None = None, width: int = 24) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 3 * width, 4 * width)
        self.frames = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(sizes, sizes[1:]))
        self.norms = nn.ModuleList(nn.GroupNorm(8, size) for size in sizes[1:])
        # Three by three regions keep where things are: a raised arm, a hat, feet off the ground.
        self.squeeze = nn.Linear(9 * sizes[-1], 6 * width)
        self.time = nn.ModuleList(nn.Conv1d(6 * width, 6 * width, 5, padding=2) for _ in range(2))
        self.mouth = nn.Conv1d(6 * width, 1, 1)
        self.heads = nn.ModuleDict({name: nn.Linear(12 * width, n) for name, n in (classes or {}).items()})

    def forward(self, video: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (B, classes) by attribute name, and `mouth` (B, T), its opening in each frame."""
        batch = len(video)
        x = video.transpose(1, 2).flatten(0, 1)
        for conv, norm in zip(self.frames, self.norms):
            x = F.gelu(norm(conv(x)))
        x = F.gelu(self.squeeze(F.adaptive_avg_pool2d(x, 3).flatten(1)))
        x = x.unflatten(0, (batch, -1)).transpose(1, 2)
        # Before frames are mixed: the opening of one frame must not be guessed from its neighbours.
        mouth = self.mouth(x)[:, 0]
        for conv in self.time:
            x = x + F.gelu(conv(x))
        pooled = torch.cat([x.mean(2), x.amax(2)], 1)
        return {name: head(pooled) for name, head in self.heads.items()} | {"mouth": mouth}
