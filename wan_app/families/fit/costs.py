"""What a model costs in memory and arithmetic, as numbers that a plan can be made from. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wan_app.families.spec import ModelSpec

# Bytes a parameter takes in a quantized layer: nf4 with double quantization keeps 4 bits and a scale
# of 8 bits for every 64 of them.
_BYTES = {"int8": 1.0, "nf4": 0.516}
QUANTIZATIONS = ("none", "int8", "nf4")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A component with weights.

    `kept` of its parameters no quantization touches (embeddings, all of an autoencoder);
    `dtype_bytes` is what one takes as loaded.
    """

    parameters: int
    kept: int = 0
    dtype_bytes: int = 2

    def bytes(self, quantization: str = "none") -> int:
        """Bytes of the component as loaded."""
        if quantization == "none":
            return self.parameters * self.dtype_bytes
        return int((self.parameters - self.kept) * _BYTES[quantization] + self.kept * self.dtype_bytes)


NOTHING = Part(parameters=0)
# 250k embeddings of 4096 and the last projection of each layer stay in bf16.
UMT5_XXL = Part(parameters=5_680_000_000, kept=2_060_000_000)
WAN_VAE = Part(parameters=127_000_000, kept=127_000_000, dtype_bytes=4)
WAN22_VAE = Part(parameters=705_000_000, kept=705_000_000, dtype_bytes=4)


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Bytes that an autoencoder takes beside its weights, for decoding in tiles and whole.

    Args:
        tile: one tile at work.
        tile_frame: for each frame of a tile, where tiles are as long as the clip.
        tiled: for each pixel of each frame, as tiles are put together.
        area: for each pixel of one frame, as a whole frame group is at work.
        whole: for each pixel of each frame beside that; 0 where it never decodes whole.
        flop: arithmetic for each pixel of each frame, in bf16's worth: convolutions in fp32 are slower.
    """

    tile: int
    tiled: float
    area: int
    whole: float
    flop: float = 25e6
    tile_frame: int = 0

    def bytes(self, area: int, num_frames: int, *, tiling: bool) -> int:
        """For `num_frames` frames of `area` pixels."""
        if tiling:
            return int(max(self.tile, self.tile_frame * num_frames, self.tiled * area * num_frames))
        return int(area * (self.area + self.whole * num_frames))


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a run costs beside its weights, and what the weights are.

    Args:
        transformer: one of them, where there are several `experts` of which one is on the card at a time.
        rest: what is always on the card: the autoencoder, an image encoder.
        layers, width: attention blocks and their channels, for the arithmetic.
        active: parameters at work for each token of the clip; without it all but what sees the text only.
        token: frames and pixels a side that one token of the transformer stands for.
        token_bytes: activations of a forward pass for each token in bf16; `token_bytes_given` where frames
            are given, so that each token has a noise level of its own; `token_bytes_streamed` where blocks
            stream through the card, if that is another number.
        picture_tokens: of a reference picture; without it, it is a frame of the clip.
        batch, guided_passes: prompts in one pass, and passes beside the plain one, where there is guidance.
        text_tokens: that the text encoder reads of each prompt, however short.
        whole: for a row that has no costs: bytes by quantization of everything, at its largest shape.
        offloads: how the family can be put on a smaller card, see `base.Plan`.
    """

    transformer: Part
    text_encoder: Part = NOTHING
    rest: Part = NOTHING
    experts: int = 1
    layers: int
    width: int
    active: int = 0
    token: tuple[float, int] = (4, 16)
    token_bytes: int
    token_bytes_given: int = 0
    token_bytes_streamed: int = 0
    picture_tokens: int = 0
    batch: int = 1
    guided_passes: float = 1.0
    text_tokens: int = 512
    decode: Decoding | None = None
    whole: Mapping[str, int] = field(default_factory=dict)
    offloads: tuple[str, ...] = ("none",)

    def tokens(self, width: int, height: int, num_frames: int, pictures: int = 0) -> int:
        """Length of the transformer's sequence, reference pictures included."""
        frames, side = self.token
        one = (width // side) * (height // side)
        return int((num_frames - 1) // frames + 1) * one + pictures * (self.picture_tokens or one)

    def tflop(self, tokens: int) -> float:
        """Arithmetic of one forward pass, in 10^12 operations; within 2 % of a counter on Wan models."""
        count = self.transformer.parameters
        # Keys and values of the text are made of its 512 tokens only.
        active = self.active or max(count - 2 * self.layers * self.width**2, count // 2)
        linear = 2 * active * tokens
        attention = 4 * self.layers * self.width * tokens * (tokens + 512)
        return (linear + attention) / 1e12


_OFFLOADS = ("none", "text_encoder", "model", "group")
# Activations are traced on meta tensors with the exact configurations (tests/families/test_costs.py).
WAN_1_3B = Costs(
    transformer=Part(parameters=1_419_000_000), text_encoder=UMT5_XXL, rest=WAN_VAE, layers=30, width=1536,
    token_bytes=48_800, decode=Decoding(tile=1_400_000_000, tiled=57, area=19_450, whole=13.5), offloads=_OFFLOADS,
)  # fmt: skip
WAN_14B = replace(
    WAN_1_3B, transformer=Part(parameters=14_288_000_000), layers=40, width=5120, token_bytes=113_600
)
# With a picture: attention to what CLIP sees in every block, and CLIP itself in fp32.
WAN_14B_IMAGE = replace(
    WAN_14B,
    transformer=Part(parameters=16_400_000_000),
    rest=Part(parameters=759_000_000, kept=759_000_000, dtype_bytes=4),
)
WAN_A14B = replace(WAN_14B, experts=2)
# Each token has a noise level of its own, and with it a row of modulation.
WAN_5B = replace(
    WAN_1_3B, transformer=Part(parameters=5_000_000_000), rest=WAN22_VAE, layers=30, width=3072, token=(4, 32),
    token_bytes=199_700, decode=Decoding(tile=1_700_000_000, tiled=57, area=21_500, whole=13.5),
)
# One more block for each hint; streamed, all hints are kept at once (parts/hints.py).
VACE_1_3B = replace(
    WAN_1_3B, transformer=Part(parameters=2_154_000_000), layers=45, token_bytes=61_300, token_bytes_streamed=98_100
)
VACE_14B = replace(
    WAN_14B, transformer=Part(parameters=17_338_000_000), layers=48, token_bytes=155_300, token_bytes_streamed=205_900
)


def costs_of(spec: ModelSpec) -> Costs:
    """The row's own costs, or what its memory table tells."""
    if spec.costs is not None:
        return spec.costs
    # Somewhere between the others.
    return Costs(
        transformer=Part(parameters=spec.parameters), layers=48, width=4096, token=(8, 32), token_bytes=0,
        whole=spec.memory,
    )


def as_in_folder(costs: Costs, folder: Path) -> Costs:
    """The costs with the parameters that really are in the folder: another checkpoint may lie there."""
    counted = {name: counted_parameters(folder / name) for name in ("transformer", "text_encoder")}
    changes: dict[str, Any] = {}
    if costs.whole:
        return costs
    for name, count in counted.items():
        part: Part = getattr(costs, name)
        if count and part.parameters:
            changes[name] = replace(part, parameters=count, kept=round(part.kept * count / part.parameters))
    return replace(costs, **changes)


def counted_parameters(folder: Path) -> int:
    """Parameters in the safetensors files of a component, from their headers alone; 0 if there are none."""
    return sum(prod(row["shape"]) for file in folder.glob("*.safetensors") for row in _header(file).values())


def _header(file: Path) -> Mapping[str, Any]:
    with file.open("rb") as stream:
        try:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        except (ValueError, MemoryError, OverflowError):
            return {}
    return {name: row for name, row in header.items() if name != "__metadata__"}
