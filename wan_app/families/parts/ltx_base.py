"""What the families on LTX-2's components share: loading them, previews, decoding picture and sound."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.families.base import Numbers, Plan
from wan_app.families.parts.gemma_words import load_gemma
from wan_app.families.parts.previews import LatentPreview
from wan_app.families.parts.residency import OneResident, stream_blocks
from wan_app.families.parts.sounding import sound_of

if TYPE_CHECKING:
    import numpy as np
    import torch

CANCEL_AT = {
    "Gemma3DecoderLayer", "Gemma4TextDecoderLayer", "Gemma4UnifiedTextDecoderLayer", "LTX2TransformerBlock1d",
    "LTX2VideoTransformerBlock", "LTX2VideoResnetBlock3d", "LTX2AudioResnetBlock", "ResBlock",
}  # fmt: skip


def ltx_parts(index: dict[str, Any], plan: Plan, weights: Path) -> dict[str, Any]:
    """The components with tensors, each read whole. The index tells which text encoder and vocoder it is.

    Under any offload `text_encoder` is None: it comes when there is something to read, and goes again.
    """
    import torch
    from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTX2Video, LTX2VideoTransformer3DModel
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, vocoder

    from wan_app.families.weights.checkpoints import load_component

    small = {
        "connectors": (LTX2TextConnectors, torch.bfloat16),
        "vae": (AutoencoderKLLTX2Video, torch.bfloat16),
        # Sound in bf16 hisses; in fp32 these two are 0.4 GB.
        "audio_vae": (AutoencoderKLLTX2Audio, torch.float32),
        "vocoder": (getattr(vocoder, index["vocoder"][1]), torch.float32),
    }
    parts = {name: load_component(cls, weights, name, dtype) for name, (cls, dtype) in small.items()}
    if plan.vae_tiling:
        parts["vae"].enable_tiling()
    parts["transformer"] = load_component(
        LTX2VideoTransformer3DModel, weights, "transformer", torch.bfloat16, plan.quantization, cache=plan.cache
    )
    staying = plan.offload == "none"
    parts["text_encoder"] = load_gemma(index["text_encoder"][1], plan, weights) if staying else None
    return parts


def place(parts: dict[str, Any], plan: Plan) -> OneResident | None:
    """Put each part where the plan wants it; what makes room for others, if something does."""
    import torch

    transformer = parts["transformer"]
    staying = [one for name, one in parts.items() if name != "transformer" or plan.offload in ("none", "text_encoder")]
    for part in staying:
        # What bitsandbytes quantized is on the card already.
        if isinstance(part, torch.nn.Module) and not getattr(part, "quantization_method", None):
            part.to(plan.device)
    if plan.offload == "group":
        stream_blocks(transformer, plan.device)
    return OneResident([transformer], plan.device) if plan.offload == "model" else None


def fit_preview(vae: Any) -> LatentPreview:
    """The preview matrix of an AutoencoderKLLTX2Video."""
    def encode(clip: torch.Tensor) -> torch.Tensor:
        latents = vae.encode(clip.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, std = (getattr(vae, name).float().view(1, -1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
        return (latents - mean) * vae.config.scaling_factor / std

    # Nine frames give two latent frames.
    return LatentPreview.solve(encode, cell=vae.spatial_compression_ratio, frames=9)


def unpacked(latents: torch.Tensor, numbers: Numbers, vae: Any) -> torch.Tensor:
    """Tokens (1, F*h*w and those of given frames, C) as latents (1, C, F, h, w)."""
    frames = (numbers.num_frames - 1) // vae.temporal_compression_ratio + 1
    height = numbers.height // vae.spatial_compression_ratio
    width = numbers.width // vae.spatial_compression_ratio
    clip = latents[:, : frames * height * width]
    return clip.unflatten(1, (frames, height, width)).permute(0, 4, 1, 2, 3)


def fit_tiles(vae: Any, latents: torch.Tensor) -> None:
    """Set the way between tiles so that none is a single latent wide: those the decoder cannot mirror at an edge.

    Diffusers' own way of 448 pixels leaves such a rest for 480, for one; a little less does not.

    Args:
        latents: (1, C, F, h, w) that are to be decoded.
    """
    cell = vae.spatial_compression_ratio
    for name, length in zip(("height", "width"), latents.shape[-2:]):
        tile = getattr(vae, f"tile_sample_min_{name}") // cell
        # Tiles overlap by an eighth or a little more; side by side only where nothing else is left.
        ways = (*range(max(2, tile * 7 // 8), 1, -1), tile)
        stride = next((way for way in ways if length % way != 1), tile)
        setattr(vae, f"tile_sample_stride_{name}", stride * cell)


class Decoder:
    """Latents to frames and sound, through the autoencoders and the vocoder of a pipeline.

    Args:
        pipe: anything with `vae`, `audio_vae` and `vocoder`.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        # Seconds that decoding took per pixel of video, the last time.
        self._rate = 0.0

    @property
    def sample_rate(self) -> int:
        """Of the sound, in Hz."""
        return int(self.pipe.vocoder.config.output_sampling_rate)

    def expected_seconds(self, numbers: Numbers) -> float:
        """How long `frames` will take, judged by the last time; 0 before the first."""
        return self._rate * numbers.num_frames * numbers.width * numbers.height

    def frames(self, latents: torch.Tensor) -> np.ndarray:
        """Frames uint8 (num_frames, height, width, 3) of denormalised latents."""
        import torch

        vae, started = self.pipe.vae, time.monotonic()
        fit_tiles(vae, latents)
        timestep = torch.zeros(1, device=vae.device, dtype=vae.dtype) if vae.config.timestep_conditioning else None
        video = vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]
        # In place and turned to bytes on the device: a float copy of a clip is gigabytes.
        pixels = video[0].add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        frames = pixels.permute(1, 2, 3, 0).contiguous().cpu().numpy()
        self._rate = (time.monotonic() - started) / (frames.size / 3)
        return frames

    def sound(self, latents: torch.Tensor, seconds: float) -> np.ndarray:
        """Sound float32 (channels, samples) of denormalised latents, `seconds` long."""
        audio_vae, vocoder = self.pipe.audio_vae, self.pipe.vocoder
        mel = audio_vae.decode(latents.to(audio_vae.dtype), return_dict=False)[0]
        return sound_of(vocoder(mel.to(vocoder.dtype)), self.sample_rate, seconds)
