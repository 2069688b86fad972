"""A tiny Pocket TTS with random weights, in the layout of the two real repositories."""

from __future__ import annotations

import json
from pathlib import Path

from wan_app.families.speech import registry

SPEC = registry.get("pocket-tts")
# Longer than any text of the tests needs: random weights never say that they are done.
FRAMES = 12
_TOKENS = ("<audio_prompt>", "<audio_latent>", "<audio_prompt_bos>", "<audio_bos>")
_TEMPLATE = (
    "{% for message in messages %}{% for item in message['content'] %}"
    "{% if item['type'] == 'audio' %}<audio_prompt_bos><audio_prompt>"
    "{% else %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% endfor %}<audio_bos>"
)


def build(weights_dir: Path) -> Path:
    """Write both repositories under `weights_dir`, as WAN_APP_WEIGHTS_DIR has them; returns it."""
    import torch

    rng_state = torch.get_rng_state()
    torch.manual_seed(0)
    main, codec = (weights_dir / part.repository for part in SPEC.parts)
    _codec().save_pretrained(codec)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(main)
    _model(tokenizer).save_pretrained(main)
    (main / "chat_template.jinja").write_text(_TEMPLATE)
    (main / "processor_config.json").write_text(json.dumps({
        "processor_class": "PocketTTSProcessor",
        "audio_tokenizer": {
            "audio_tokenizer_class": "PocketTTSAudioTokenizerModel",
            "audio_tokenizer_name_or_path": SPEC.parts[1].repository,
        },
        "feature_extractor": {"feature_extractor_type": "PocketTTSFeatureExtractor", "sampling_rate": 24000},
        "frames_after_eos": 2,
    }))
    torch.set_rng_state(rng_state)
    return weights_dir


def _model(tokenizer):  # type: ignore[no-untyped-def]
    from transformers import PocketTTSConfig, PocketTTSForConditionalGeneration

    ids = tokenizer.convert_tokens_to_ids(list(_TOKENS))
    config = PocketTTSConfig(
        flow_head_config={"hidden_size": 8, "num_hidden_layers": 1, "condition_dim": 16,
                          "frequency_embedding_size": 8, "latent_dim": 8},
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, latent_dim=8, pad_token_id=0, audio_prompt_token_id=ids[0],
        audio_latent_token_id=ids[1], audio_prompt_bos_token_id=ids[2], audio_bos_token_id=ids[3],
    )  # fmt: skip
    model = PocketTTSForConditionalGeneration(config)
    model.generation_config.update(
        do_sample=True, temperature=0.7, return_dict_in_generate=True, max_new_tokens=FRAMES
    )
    return model


def _codec():  # type: ignore[no-untyped-def]
    from transformers import PocketTTSAudioTokenizerConfig, PocketTTSAudioTokenizerModel

    return PocketTTSAudioTokenizerModel(PocketTTSAudioTokenizerConfig(
        hidden_size=16, num_filters=2, num_hidden_layers=1, intermediate_size=16, num_attention_heads=2,
        num_key_value_heads=2, upsample_groups=16, latent_dim=8,
    ))


def _tokenizer():  # type: ignore[no-untyped-def]
    """A Unigram tokenizer with the placeholders of the prompt; needs no download."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [("<pad>", 0.0), ("<unk>", -10.0)]
    pieces += [(letter, -6.0) for letter in "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'"]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=1))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=unigram, pad_token="<pad>", unk_token="<unk>",
        extra_special_tokens=dict(zip(
            ("audio_prompt_token", "audio_latent_token", "audio_prompt_bos_token", "audio_bos_token"), _TOKENS
        )),
    )
