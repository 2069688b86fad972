"""A tiny MiniMax H3 checkpoint with random weights, in the layout of its modular repository."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.families import registry
from wan_app.families.spec import ModelSpec, Shape

from .tiny_parts import change, same_weights_every_time, unigram

_HIDDEN = 16
# The model reads the state after the fiftieth layer, which must not be the last.
_LAYERS = 51
_MARKS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def tiny_spec() -> ModelSpec:
    """The model's row with sizes that the tiny checkpoint makes in seconds; its lengths are the real ones."""
    return replace(
        registry.get("minimax-h3"), shapes=(Shape("Tiny", 96, 64),), min_side=64, num_inference_steps=3,
        max_frames=141,
    )  # fmt: skip


def build(folder: Path) -> Path:
    """Both transformers, Qwen3-VL, autoencoders, and modular_model_index.json as the hub has it."""
    from diffusers import MiniMaxH3Blocks

    with same_weights_every_time():
        parts = _parts()
        pipe = MiniMaxH3Blocks().init_pipeline()
        pipe.update_components(**parts)
        # References of 2048 pixels would take minutes here.
        pipe.update_components(reference_image_short_edge=64)
        pipe.save_pretrained(str(folder), overwrite_modular_index=True)
    _write_processor(folder / "processor")
    file = folder / "modular_model_index.json"
    file.write_text(file.read_text().replace(json.dumps(str(folder)), '"MiniMaxAI/MiniMax-H3"'))
    source = json.loads(file.read_text())["tokenizer"][2]
    processor = ["transformers", "Qwen3VLProcessor", source | {"subfolder": "processor"}]
    change(file, processor=processor, tokenizer=["transformers", "Qwen2TokenizerFast", source])
    return folder


def _parts() -> dict[str, Any]:
    from diffusers import (
        AutoencoderKLMiniMaxH3,
        AutoencoderKLMiniMaxH3Audio,
        MiniMaxH3Scheduler,
        MiniMaxH3Transformer3DModel,
    )

    tokenizer = _tokenizer()
    transformer = {
        "num_attention_heads": 2, "attention_head_dim": 16, "hidden_size": 24, "num_layers": 2,
        "num_refiner_layers": 1, "ffn_dim": 32, "in_channels": 4, "audio_in_channels": 4, "text_dim": _HIDDEN,
        "freq_dim": 16, "time_embed_hidden_dim": 24, "time_embed_dim": 16, "rope_freq_dim": 2,
    }  # fmt: skip
    return {
        "tokenizer": tokenizer,
        "text_encoder": _qwen(tokenizer),
        "transformer": MiniMaxH3Transformer3DModel(**transformer),
        "transformer_ref": MiniMaxH3Transformer3DModel(**transformer),
        "vae": AutoencoderKLMiniMaxH3(
            latent_channels=4, block_out_channels=(8, 8, 8, 8, 8, 8), layers_per_block=1, norm_num_groups=4,
            decoder_num_layers=2, decoder_num_attention_heads=2, decoder_attention_head_dim=16,
            decoder_num_register_tokens=2, decoder_ffn_mult=2, latents_mean=(0.1,) * 4, latents_std=(0.9,) * 4,
        ),
        "audio_vae": AutoencoderKLMiniMaxH3Audio(
            encoder_dim=4, latent_dim=16, latent_channels=4, num_attention_heads=2, decoder_dim=32,
            encoder_rates=(2, 4, 5, 5), decoder_rates=(5, 5, 2, 2, 2), decoder_kernel_sizes=(9, 9, 4, 4, 4),
            resblock_kernel_sizes=(3,), resblock_dilation_sizes=((1, 1, 1),), sampling_rate=8000,
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        "scheduler": MiniMaxH3Scheduler(shift=12.0),
        "audio_scheduler": MiniMaxH3Scheduler(shift=3.0),
    }  # fmt: skip


def _qwen(tokenizer: Any) -> Any:
    """A Qwen3VLForConditionalGeneration that knows the tokenizer's marks."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    start, end, picture, video = (tokenizer.convert_tokens_to_ids(mark) for mark in _MARKS)
    text = {
        "vocab_size": len(tokenizer), "hidden_size": _HIDDEN, "intermediate_size": 16, "num_attention_heads": 2,
        "num_key_value_heads": 1, "num_hidden_layers": _LAYERS, "head_dim": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "patch_size": 16,
        "out_hidden_size": _HIDDEN, "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
    }  # fmt: skip
    return Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            text_config=text, vision_config=vision, vision_start_token_id=start, vision_end_token_id=end,
            image_token_id=picture, video_token_id=video,
        )
    )  # fmt: skip


def _tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=unigram(), pad_token="<pad>", unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(_MARKS)})
    return tokenizer


def _write_processor(folder: Path) -> None:
    """As a whole Qwen3VLProcessor stores itself; making one takes torchvision."""
    pictures = {
        "image_processor_type": "Qwen2VLImageProcessor", "do_resize": True, "do_rescale": True,
        "do_normalize": True, "do_convert_rgb": True, "rescale_factor": 1 / 255, "resample": 3,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "merge_size": 2, "patch_size": 16,
        "temporal_patch_size": 2, "size": {"shortest_edge": 1024, "longest_edge": 4096},
    }  # fmt: skip
    folder.mkdir()
    index = {"image_processor": pictures, "processor_class": "Qwen3VLProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(index))
