"""The text encoder: a small UMT5, as Wan's, over whole words of the cartoon world's English."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

MAX_TOKENS = 40
TEXT_DIM = 192


def build_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """A word tokenizer: lower case, accents stripped, hyphens and punctuation split; strangers are `<unk>`."""
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<unk>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace("-", " "),
            normalizers.Replace("'", " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        model_max_length=MAX_TOKENS,
    )


def build_text_encoder(words: int) -> UMT5EncoderModel:
    """An untrained encoder for `words` words and the three special tokens."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=words + 3,
            d_model=TEXT_DIM,
            d_kv=32,
            d_ff=512,
            num_layers=2,
            num_heads=6,
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=2,
            relative_attention_num_buckets=16,
            relative_attention_max_distance=32,
        )
    )


def encode_text(tokenizer, encoder, texts: list[str]) -> torch.Tensor:
    """Text embeddings (B, MAX_TOKENS, TEXT_DIM), zero beyond each text's end."""
    # Cut to length first: the end of the text must be marked however long it is.
    cut = tokenizer(texts, truncation=True, max_length=MAX_TOKENS - 1, add_special_tokens=False)["input_ids"]
    batch = tokenizer.pad(
        {"input_ids": [[*ids, tokenizer.eos_token_id] for ids in cut]},
        padding="max_length",
        max_length=MAX_TOKENS,
        return_tensors="pt",
    )
    mask = batch["attention_mask"].to(encoder.device)
    hidden = encoder(input_ids=batch["input_ids"].to(encoder.device), attention_mask=mask).last_hidden_state
    return hidden * mask[:, :, None].to(hidden.dtype)
