"""A tiny WanVACE checkpoint with random weights, in the real repository's layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wan_app.families import registry
from wan_app.families.spec import ModelSpec, Shape

from .tiny_parts import as_older_libraries_wrote, same_weights_every_time, wan_parts


def tiny_spec() -> ModelSpec:
    """The 1.3B's row with sizes that the tiny checkpoint makes in a moment."""
    return replace(
        registry.get("wan2.1-vace-1.3b"),
        shapes=(Shape("Tiny", 48, 32),),
        min_side=32,
        num_inference_steps=3,
        default_frames=9,
        max_frames=17,
    )


def build(folder: Path) -> Path:
    """Write the checkpoint: model_index.json, tokenizer, UMT5, transformer, autoencoder, scheduler."""
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    with same_weights_every_time():
        parts = wan_parts()
        transformer = WanVACETransformer3DModel(
            num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=32, ffn_dim=32,
            num_layers=2, vace_layers=[0, 1], rope_max_seq_len=32,
        )  # fmt: skip
        WanVACEPipeline(**parts, transformer=transformer).save_pretrained(folder)
    return as_older_libraries_wrote(folder)
