"""The identity encoder: who is in these pictures, as a few tokens the video transformer can read."""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from wan_app.likeness.autoencoder import VitBlock, grid_positions

PICTURE = 64  # pixels a side


class LikenessIdentityEncoder(ModelMixin, ConfigMixin):
    """Pictures (B, 3, 64, 64) in [-1, 1] to identity tokens (B, tokens, dim).

    It is trained first as a recogniser (`heads` name the attributes of the person, `colours` their exact
    RGB), so that its tokens hold who someone is and not how the picture was framed; the transformer then
    learns to read them. Tokens answer learned queries, so those of several pictures of one person line up
    and may be averaged.
    """

    @register_to_config
    def __init__(
        self,
        tokens: int = 8,
        dim: int = 192,
        layers: int = 3,
        heads: int = 3,
        classes: dict[str, int] | None = None,
        colours: int = 5,
    ) -> None:
        super().__init__()
        # A convolutional stem: brims, spikes and rims are edges, which plain patches learn far more slowly.
        self.stem = nn.Sequential(
            nn.Conv2d(3, dim // 4, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // 4, dim // 2, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
        )
        self.blocks = nn.ModuleList(VitBlock(dim, heads) for _ in range(layers))
        self.queries = nn.Parameter(torch.randn(tokens, dim) * 0.1)
        self.norm = nn.LayerNorm(dim)
        self.attribute_heads = nn.ModuleDict(
            {name: nn.Linear(tokens * dim, n) for name, n in (classes or {}).items()}
        )
        self.colour_head = nn.Linear(tokens * dim, 3 * colours)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Identity tokens (B, tokens, dim)."""
        cells = self.stem(pictures)
        dim, height, width = cells.shape[1:]
        positions = grid_positions(height, width, dim, cells.device).to(cells.dtype)
        x = cells.flatten(2).transpose(1, 2) + positions
        queries = self.queries.to(x.dtype).expand(len(x), -1, -1)
        x = torch.cat([queries, x], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, : queries.shape[1]])

    def of_person(self, pictures: torch.Tensor) -> torch.Tensor:
        """Tokens (1, tokens, dim) of one person from several pictures (N, 3, 64, 64)."""
        return self(pictures).mean(0, keepdim=True)

    def recognise(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits per attribute, and `colours` (B, n, 3) in [0, 1]."""
        flat = tokens.flatten(1)
        found = {name: head(flat) for name, head in self.attribute_heads.items()}
        found["colours"] = torch.sigmoid(self.colour_head(flat)).unflatten(1, (-1, 3))
        return found
