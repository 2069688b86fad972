"""The video autoencoder: groups of four frames, cells of 8x8 pixels, and a decoder that draws larger.

A latent stands for one cell of one group. The first frame is a group of its own, four copies of it,
so that a picture and the first frame of a clip have the same latents, and F frames (4k+1) give
f = 1 + (F - 1) / 4 latent frames, as in Wan. A linear map started from principal components carries
the bulk, small vision transformers around it add what is not linear, and a convolutional enlarger
draws the decoded frames at twice the size, frame by frame, with the seams between cells gone. The enlarger
also hears the sound of its moment: a mouth is five pixels of a thousand and opens within one group, too
little and too fast for the latents, but where it is can be seen and how far it is open can be heard.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from wan_app.likeness.attention import attention
from wan_app.likeness.audio import sounds_before

GROUP = 4
CELL = 8
PATCH = 3 * GROUP * CELL * CELL


def grid_positions(height: int, width: int, dim: int, device) -> torch.Tensor:
    """Sine-cosine positions (height * width, dim) of cells, centred, so that any grid is understood."""
    rows = torch.arange(height, device=device) - (height - 1) / 2
    columns = torch.arange(width, device=device) - (width - 1) / 2
    frequency = torch.exp(torch.arange(dim // 4, device=device) * (-math.log(64.0) / (dim // 4)))
    parts = []
    for axis in (rows[:, None].expand(height, width), columns[None].expand(height, width)):
        angle = axis.reshape(-1, 1) * frequency
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, 1)


class VitBlock(nn.Module):
    """Pre-norm self-attention and MLP over (B, N, dim)."""

    def __init__(self, dim: int, heads: int, ratio: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, ratio * dim), nn.Linear(ratio * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Vit(nn.Module):
    """A small vision transformer from one width to another; it starts as zero."""

    def __init__(self, inputs: int, outputs: int, dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.dim = dim
        self.proj_in = nn.Linear(inputs, dim)
        self.blocks = nn.ModuleList(VitBlock(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.proj_out = nn.Linear(dim, outputs)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        x = self.proj_in(x) + positions
        for block in self.blocks:
            x = block(x)
        return self.proj_out(self.norm(x))


def sound_by_frame(audio: torch.Tensor) -> torch.Tensor:
    """What is heard around the moment of each frame, (B, F, 4 Ca), of audio latents (B, Ca, 2 F): the two
    latents before it and the two from it on."""
    each = sounds_before(1)
    around = F.pad(audio, (each, 0)).unfold(2, 2 * each, each)
    return around.transpose(1, 2).flatten(2)


class Enlarger(nn.Module):
    """Frames (N, 3, H, W) to (N, 3, 2H, 2W): bilinear, plus what a small network sees sharper, and hears.

    `sound` (N, 4 Ca), one row of `sound_by_frame` a frame, scales and shifts every block's features; without
    it the mouths stay as they are.
    """

    def __init__(self, width: int = 32, layers: int = 4, audio_channels: int = 24) -> None:
        super().__init__()
        self.hear = nn.Sequential(
            nn.Linear(2 * sounds_before(1) * audio_channels, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(),
            nn.Linear(64, 2 * layers * width),
        )
        nn.init.zeros_(self.hear[-1].weight)
        nn.init.zeros_(self.hear[-1].bias)
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)
            )
            for _ in range(layers)
        )
        self.conv_out = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, frames: torch.Tensor, sound: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.conv_in(frames)
        heard = [None] * len(self.blocks) if sound is None else self.hear(sound).chunk(len(self.blocks), 1)
        for block, by_sound in zip(self.blocks, heard):
            first, activation, second = block
            features = first(hidden)
            if by_sound is not None:
                scale, shift = by_sound[:, :, None, None].chunk(2, 1)
                features = features * (1 + scale) + shift
            hidden = hidden + second(activation(features))
        base = F.interpolate(frames, scale_factor=2, mode="bilinear", align_corners=False)
        return base + F.pixel_shuffle(self.conv_out(hidden), 2)


class LikenessAutoencoder(ModelMixin, ConfigMixin):
    """Video (B, 3, F, H, W) in [-1, 1] <-> latents (B, channels, f, H / 8, W / 8).

    `latents_mean` and `latents_std` (per channel) are measured after training; the transformer works on
    normalised latents, see `normalise`.
    """

    @register_to_config
    def __init__(
        self,
        channels: int = 64,
        dim: int = 256,
        layers: int = 2,
        heads: int = 4,
        enlarger_width: int = 32,
        enlarger_layers: int = 4,
        audio_channels: int = 24,
    ) -> None:
        super().__init__()
        self.linear_in = nn.Linear(PATCH, channels)
        self.linear_out = nn.Linear(channels, PATCH)
        self.encoder = Vit(PATCH, channels, dim, layers, heads)
        self.decoder = Vit(channels, PATCH, dim, layers, heads)
        self.enlarger = Enlarger(enlarger_width, enlarger_layers, audio_channels)
        self.register_buffer("latents_mean", torch.zeros(channels))
        self.register_buffer("latents_std", torch.ones(channels))

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        """Normalised latents (B, C, f, h, w) of a video whose frame count is 4k+1."""
        first = video[:, :, :1].expand(-1, -1, GROUP, -1, -1)
        groups = torch.cat([first, video[:, :, 1:]], 2).unflatten(2, (-1, GROUP))
        batch, _, count, _, height, width = groups.shape
        latents = self.encode_groups(groups.transpose(1, 2).flatten(0, 1))
        return self.normalise(latents.unflatten(0, (batch, count)).transpose(1, 2))

    def decode(
        self,
        latents: torch.Tensor,
        *,
        enlarge: bool = True,
        still: bool = True,
        sound: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Video (B, 3, F, H, W) from normalised latents; twice that height and width when enlarged.

        `still`: whether the first latent frame is one of a clip's start, which stands for a single frame.
        `sound`: what is heard with each of those frames (B, F, 4 Ca), see `sound_by_frame`; for the enlarger.
        """
        batch, _, count, _, _ = latents.shape
        raw = latents * self._channelwise(self.latents_std) + self._channelwise(self.latents_mean)
        frames = self.decode_groups(raw.transpose(1, 2).flatten(0, 1))
        frames = frames.unflatten(0, (batch, count)).transpose(1, 2)
        if still:
            # The first group holds four copies of one frame: their mean is the best estimate of it.
            video = torch.cat([frames[:, :, 0].mean(2, keepdim=True), frames[:, :, 1:].flatten(2, 3)], 2)
        else:
            video = frames.flatten(2, 3)
        if not enlarge:
            return video
        large = self.enlarger(video.transpose(1, 2).flatten(0, 1), None if sound is None else sound.flatten(0, 1))
        return large.unflatten(0, (batch, -1)).transpose(1, 2)

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """Raw latents to the zero-mean scale the transformer works on."""
        return (latents - self._channelwise(self.latents_mean)) / self._channelwise(self.latents_std)

    def _channelwise(self, values: torch.Tensor) -> torch.Tensor:
        return values[None, :, None, None, None]

    def encode_groups(self, groups: torch.Tensor) -> torch.Tensor:
        """Raw latents (N, C, h, w) of frame groups (N, 3, 4, H, W)."""
        n, _, _, height, width = groups.shape
        h, w = height // CELL, width // CELL
        cells = groups.unflatten(4, (w, CELL)).unflatten(3, (h, CELL))  # n, 3, 4, h, 8, w, 8
        cells = cells.permute(0, 3, 5, 1, 2, 4, 6).reshape(n, h * w, PATCH)
        latents = self.linear_in(cells) + self.encoder(cells, self._positions(h, w, cells, self.encoder))
        return latents.transpose(1, 2).unflatten(2, (h, w))

    def decode_groups(self, latents: torch.Tensor) -> torch.Tensor:
        """Frame groups (N, 3, 4, H, W) from raw latents (N, C, h, w)."""
        n, _, h, w = latents.shape
        tokens = latents.flatten(2).transpose(1, 2)
        cells = self.linear_out(tokens) + self.decoder(tokens, self._positions(h, w, tokens, self.decoder))
        cells = cells.reshape(n, h, w, 3, GROUP, CELL, CELL).permute(0, 3, 4, 1, 5, 2, 6)
        return cells.reshape(n, 3, GROUP, h * CELL, w * CELL)

    @staticmethod
    def _positions(h: int, w: int, like: torch.Tensor, vit: Vit) -> torch.Tensor:
        return grid_positions(h, w, vit.dim, like.device).to(like.dtype)
