"""A tiny JoyAI-Echo checkpoint with random weights, in the layout of a modular repository."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from wan_app.families import registry
from wan_app.families.spec import ModelSpec, Shape

from . import tiny_ltx
from .tiny_parts import same_weights_every_time


def tiny_spec() -> ModelSpec:
    """The model's row with sizes that the tiny checkpoint makes in a moment, and no licence to accept."""
    return replace(
        registry.get("echo-1.5"), shapes=(Shape("Tiny", 96, 64),), min_side=64, num_inference_steps=3,
        default_frames=17, max_frames=25,
    )  # fmt: skip


def build(folder: Path) -> Path:
    """LTX-2.3's networks with Gemma 3, and modular_model_index.json as the hub has it."""
    from diffusers import EchoBlocks, LTX2VideoTransformer3DModel

    with same_weights_every_time():
        parts = tiny_ltx.ltx_parts()
        del parts["scheduler"]
        parts["transformer"] = LTX2VideoTransformer3DModel(
            **tiny_ltx.TRANSFORMER, gated_attn=True, cross_attn_mod=True, audio_gated_attn=True,
            audio_cross_attn_mod=True, use_prompt_embeddings=False, perturbed_attn=True,
        )
        parts["connectors"] = tiny_ltx.wide_connectors()
        parts["vocoder"] = tiny_ltx.wide_vocoder()
        pipe = EchoBlocks().init_pipeline()
        pipe.update_components(**parts)
        pipe.save_pretrained(str(folder), overwrite_modular_index=True)
    file = folder / "modular_model_index.json"
    file.write_text(file.read_text().replace(json.dumps(str(folder)), '"Echo-Team/JoyAI-Echo"'))
    return folder
