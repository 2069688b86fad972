"""Tiny Wan2.1 and Wan2.2 checkpoints with random weights, in the real repositories' layouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.families import registry
from wan_app.families.spec import ModelSpec, Shape

from .tiny_parts import as_older_libraries_wrote, change, same_weights_every_time, wan_parts, wan_transformer

# A picture's two parts beside the noise: the mask (4 channels) and its latents (16).
_IMAGE_CHANNELS = 16 + 4 + 16


def tiny_spec(model_id: str) -> ModelSpec:
    """The model's row with sizes that the tiny checkpoint makes in a moment."""
    row = registry.get(model_id)
    shape = Shape("Tiny", 3 * row.size_multiple, 2 * row.size_multiple)
    return replace(
        row, shapes=(shape,), min_side=32, num_inference_steps=3, default_frames=9, max_frames=17
    )


def build_text(folder: Path) -> Path:
    """Wan2.1 T2V."""
    from diffusers import WanPipeline

    with same_weights_every_time():
        WanPipeline(**wan_parts(), transformer=wan_transformer()).save_pretrained(folder)
    return as_older_libraries_wrote(folder)


def build_image(folder: Path) -> Path:
    """Wan2.1 I2V: with a CLIP that sees the picture, stored as transformers 4 wrote it."""
    from diffusers import WanImageToVideoPipeline
    from safetensors.torch import load_file, save_file
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    with same_weights_every_time():
        clip = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                image_size=32, patch_size=8, projection_dim=16,
            )
        )  # fmt: skip
        size = {"height": 32, "width": 32}
        WanImageToVideoPipeline(
            **wan_parts(),
            transformer=wan_transformer(in_channels=_IMAGE_CHANNELS, image_dim=16, added_kv_proj_dim=24),
            image_encoder=clip,
            image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size),
        ).save_pretrained(folder)
    file = folder / "image_encoder" / "model.safetensors"
    tensors = {"vision_model." + name.removeprefix("vision_model."): t for name, t in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    change(folder / "model_index.json", image_processor=["transformers", "CLIPImageProcessor"])
    return as_older_libraries_wrote(folder)


def build_text_and_image(folder: Path) -> Path:
    """Wan2.2 TI2V: the deeper autoencoder, and `expand_timesteps` in the index."""
    from diffusers import AutoencoderKLWan, WanPipeline

    with same_weights_every_time():
        parts = wan_parts()
        parts["vae"] = AutoencoderKLWan(
            base_dim=8, decoder_base_dim=8, dim_mult=[1, 1, 1, 1], num_res_blocks=1, in_channels=12,
            out_channels=12, is_residual=True, patch_size=2, scale_factor_spatial=16,
        )  # fmt: skip
        WanPipeline(**parts, transformer=wan_transformer(), expand_timesteps=True).save_pretrained(folder)
    return as_older_libraries_wrote(folder)


def build_text_experts(folder: Path) -> Path:
    """Wan2.2 T2V A14B."""
    from diffusers import WanPipeline

    with same_weights_every_time():
        experts: dict[str, Any] = {"transformer": wan_transformer(), "transformer_2": wan_transformer()}
        WanPipeline(**wan_parts(), **experts, boundary_ratio=0.875).save_pretrained(folder)
    return as_older_libraries_wrote(folder)


def build_image_experts(folder: Path) -> Path:
    """Wan2.2 I2V A14B: no CLIP any more."""
    from diffusers import WanImageToVideoPipeline

    with same_weights_every_time():
        names = ("transformer", "transformer_2")
        experts: dict[str, Any] = {name: wan_transformer(in_channels=_IMAGE_CHANNELS) for name in names}
        WanImageToVideoPipeline(**wan_parts(), **experts, boundary_ratio=0.9).save_pretrained(folder)
    return as_older_libraries_wrote(folder)
