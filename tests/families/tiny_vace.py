"""A tiny WanVACE checkpoint with random weights, in the real repository's layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from wan_app.families import registry
from wan_app.families.spec import ModelSpec, Shape

_WORDS = ("a", "the", "fox", "walks", "through", "snow", "character", "first", "second", "at", "night")


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
    import torch
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanVACEPipeline,
        WanVACETransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    rng_state = torch.get_rng_state()
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    text_encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    )  # fmt: skip
    transformer = WanVACETransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=32, ffn_dim=32,
        num_layers=2, vace_layers=[0, 1], rope_max_seq_len=32,
    )  # fmt: skip
    vae = AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    WanVACEPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder.to(torch.bfloat16),
        vae=vae,
        scheduler=scheduler,
        transformer=transformer.to(torch.bfloat16),
    ).save_pretrained(folder)
    torch.set_rng_state(rng_state)
    # As the real repository, written by an older transformers, has them; this one reads both anew.
    _change(folder / "model_index.json", tokenizer=["transformers", "T5TokenizerFast"])
    _change(folder / "text_encoder" / "config.json", tie_word_embeddings=False)
    return folder


def _change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values, indent=2))


def _tokenizer():  # type: ignore[no-untyped-def]
    """A Unigram tokenizer that needs no download."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import T5TokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0)]
    pieces += [("▁" + word, -2.0) for word in _WORDS]
    pieces += [(letter, -6.0) for letter in "▁abcdefghijklmnopqrstuvwxyz0123456789.,"]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=2))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(
        tokenizer_object=unigram, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", extra_ids=0
    )
