"""Parts of tiny checkpoints that several families share, with random weights and no download."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WORDS = ("a", "the", "fox", "walks", "through", "snow", "character", "first", "second", "at", "night")


@contextmanager
def same_weights_every_time() -> Iterator[None]:
    """Random weights from a fixed seed, and torch's own random state left as it was."""
    import torch

    rng_state = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        yield
    finally:
        torch.set_rng_state(rng_state)


def wan_parts() -> dict[str, Any]:
    """Tokenizer, text encoder, autoencoder and scheduler of any Wan2.1 checkpoint."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
    from transformers import UMT5Config, UMT5EncoderModel

    words = tokenizer()
    text_encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    )  # fmt: skip
    return {
        "tokenizer": words,
        "text_encoder": text_encoder.to(torch.bfloat16),
        "vae": AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
        ),
    }


def wan_transformer(**changes: Any) -> Any:
    """A WanTransformer3DModel of two blocks, in fp32 as the real ones are stored."""
    from diffusers import WanTransformer3DModel

    sizes = {
        "num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 16, "freq_dim": 32, "ffn_dim": 32,
        "num_layers": 2, "rope_max_seq_len": 32, "in_channels": 16, "out_channels": 16,
    }  # fmt: skip
    return WanTransformer3DModel(**(sizes | changes))


def as_older_libraries_wrote(folder: Path) -> Path:
    """The files of a Wan checkpoint as the real repositories have them; today's libraries read both."""
    change(folder / "model_index.json", tokenizer=["transformers", "T5TokenizerFast"])
    change(folder / "text_encoder" / "config.json", tie_word_embeddings=False)
    return folder


def change(file: Path, **values: object) -> None:
    """Set values in a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values, indent=2))


def tokenizer():  # type: ignore[no-untyped-def]
    """A T5TokenizerFast that needs no download."""
    from transformers import T5TokenizerFast

    return T5TokenizerFast(
        tokenizer_object=unigram(), eos_token="</s>", pad_token="<pad>", unk_token="<unk>", extra_ids=0
    )


def gemma_tokenizer():  # type: ignore[no-untyped-def]
    """As `tokenizer`, of Gemma's class and with a limit, which LTX pipelines read."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=unigram(), eos_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=1024
    )


def unigram():  # type: ignore[no-untyped-def]
    """Words of the tests, letters for the rest."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0)]
    pieces += [("▁" + word, -2.0) for word in _WORDS]
    pieces += [(letter, -6.0) for letter in "▁abcdefghijklmnopqrstuvwxyz0123456789.,"]
    words = Tokenizer(models.Unigram(pieces, unk_id=2))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return words
