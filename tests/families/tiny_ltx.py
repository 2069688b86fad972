"""Tiny LTX-2 checkpoints with random weights, in the real repositories' layouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.families import registry
from wan_app.families.spec import ModelSpec, Shape

from .tiny_parts import change, gemma_tokenizer, same_weights_every_time

_CHANNELS = 8
_HIDDEN = 16
_LAYERS = 2
TRANSFORMER = {
    "in_channels": _CHANNELS, "out_channels": _CHANNELS, "num_attention_heads": 2, "attention_head_dim": 12,
    "cross_attention_dim": 24, "audio_in_channels": 16, "audio_out_channels": 16, "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 6, "audio_cross_attention_dim": 12, "num_layers": 2,
    "rope_double_precision": False, "rope_type": "split",
}  # fmt: skip
CONNECTORS = {
    "caption_channels": _HIDDEN, "text_proj_in_factor": _LAYERS + 1, "video_connector_num_attention_heads": 2,
    "video_connector_attention_head_dim": 8, "video_connector_num_layers": 1,
    "video_connector_num_learnable_registers": 8, "audio_connector_num_attention_heads": 2,
    "audio_connector_attention_head_dim": 8, "audio_connector_num_layers": 1,
    "audio_connector_num_learnable_registers": 8, "connector_rope_base_seq_len": 32,
    "rope_double_precision": False, "rope_type": "split",
}  # fmt: skip


def tiny_spec(model_id: str) -> ModelSpec:
    """The model's row with sizes that the tiny checkpoint makes in a moment."""
    row = registry.get(model_id)
    return replace(
        row, shapes=(Shape("Tiny", 96, 64),), min_side=64, num_inference_steps=3, default_frames=17, max_frames=25
    )


def build(folder: Path) -> Path:
    """LTX-2, the layout of Lightricks/LTX-2."""
    from diffusers import LTX2Pipeline

    with same_weights_every_time():
        LTX2Pipeline(**ltx_parts()).save_pretrained(folder)
    change(folder / "model_index.json", tokenizer=["transformers", "GemmaTokenizerFast"])
    return folder


def build_25(folder: Path) -> Path:
    """LTX-2.5: Gemma 4, gated attention, a connector for each of picture and sound, the wider vocoder."""
    from diffusers import LTX2Pipeline, LTX2VideoTransformer3DModel

    with same_weights_every_time():
        parts = ltx_parts()
        parts["text_encoder"] = gemma4(len(parts["tokenizer"]))
        parts["transformer"] = LTX2VideoTransformer3DModel(
            **TRANSFORMER, gated_attn=True, cross_attn_mod=True, audio_gated_attn=True, audio_cross_attn_mod=True,
            use_prompt_embeddings=False, perturbed_attn=True, ff_bias=False, use_prompt_adaln_single=False,
            use_keyframes_abs_pos_embedding=True,
        )
        parts["connectors"] = wide_connectors()
        parts["vocoder"] = wide_vocoder()
        LTX2Pipeline(**parts).save_pretrained(folder)
    change(folder / "model_index.json", tokenizer=["transformers", "GemmaTokenizerFast"])
    return folder


def ltx_parts() -> dict[str, Any]:
    """The components of LTX-2."""
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    tokenizer = gemma_tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": gemma3(len(tokenizer)),
        "transformer": LTX2VideoTransformer3DModel(**TRANSFORMER, caption_channels=_HIDDEN, perturbed_attn=True),
        "connectors": LTX2TextConnectors(**CONNECTORS),
        "vae": AutoencoderKLLTX2Video(
            latent_channels=_CHANNELS, block_out_channels=(8, 16, 32, 64), decoder_block_out_channels=(16, 32, 64),
            layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1),
            spatial_compression_ratio=32, temporal_compression_ratio=8,
        ),
        "audio_vae": AutoencoderKLLTX2Audio(
            base_channels=16, ch_mult=(1, 1, 1), num_res_blocks=1, latent_channels=2, resolution=32, mel_bins=32
        ),
        "vocoder": LTX2Vocoder(
            in_channels=64, hidden_channels=32, upsample_kernel_sizes=[16, 15], upsample_factors=[16, 15],
            resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]], output_sampling_rate=24000,
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024,
            max_image_seq_len=4096, shift_terminal=0.1,
        ),
    }  # fmt: skip


def wide_connectors() -> Any:
    """Connectors from LTX-2.3 on: one projection each for picture and sound."""
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    return LTX2TextConnectors(
        **CONNECTORS | {"video_connector_attention_head_dim": 12, "audio_connector_attention_head_dim": 6},
        per_modality_projections=True, video_hidden_dim=24, audio_hidden_dim=12, video_gated_attn=True,
        audio_gated_attn=True, proj_bias=True,
    )


def wide_vocoder() -> Any:
    """The vocoder from LTX-2.3 on, which widens 16 kHz to 48."""
    from diffusers.pipelines.ltx2.vocoder import LTX2VocoderWithBWE

    return LTX2VocoderWithBWE(
        in_channels=64, hidden_channels=32, upsample_kernel_sizes=[11, 32], upsample_factors=[5, 32],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]], bwe_in_channels=16, bwe_hidden_channels=32,
        bwe_upsample_kernel_sizes=[16, 15], bwe_upsample_factors=[16, 15], bwe_resnet_kernel_sizes=[3],
        bwe_resnet_dilations=[[1, 3, 5]], num_mel_channels=8,
    )


def gemma3(vocabulary: int) -> Any:
    """A Gemma3ForConditionalGeneration of two layers."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {
        "vocab_size": vocabulary, "hidden_size": _HIDDEN, "intermediate_size": 32, "num_hidden_layers": _LAYERS,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 2,
        "eos_token_id": 1,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    )


def gemma4(vocabulary: int) -> Any:
    """A Gemma4UnifiedForConditionalGeneration of two layers."""
    from transformers import Gemma4UnifiedConfig, Gemma4UnifiedForConditionalGeneration

    text = {
        "vocab_size": vocabulary, "hidden_size": _HIDDEN, "intermediate_size": 32, "num_hidden_layers": _LAYERS,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "global_head_dim": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    }  # fmt: skip
    vision = {"patch_size": 4, "mm_embed_dim": _HIDDEN, "mm_posemb_size": 8, "output_proj_dims": _HIDDEN}
    return Gemma4UnifiedForConditionalGeneration(
        Gemma4UnifiedConfig(text_config=text, vision_config=vision, audio_config={"audio_embed_dim": 8})
    )
