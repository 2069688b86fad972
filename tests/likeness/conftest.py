"""A pipeline of the bundled model's kind, with tiny random networks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    from wan_app.likeness.audio import LikenessAudioAutoencoder
    from wan_app.likeness.autoencoder import LikenessAutoencoder
    from wan_app.likeness.identity import LikenessIdentityEncoder
    from wan_app.likeness.pipeline import LikenessPipeline
    from wan_app.likeness.text import TEXT_DIM, build_text_encoder, build_tokenizer
    from wan_app.likeness.transformer import LikenessTransformer3DModel
    from wan_app.likeness.voice import LikenessVoiceEncoder
    from wan_app.likeness.world.captions import vocabulary

    torch.manual_seed(0)
    words = vocabulary()
    transformer = LikenessTransformer3DModel(
        latent_channels=8,
        audio_channels=6,
        num_attention_heads=1,
        num_layers=2,
        ffn_dim=64,
        audio_ffn_dim=32,
        identity_dim=24,
        voice_dim=24,
        head_width=16,
    )
    # Fresh networks start with their identity and voice paths at zero: give them something to say.
    for block in transformer.blocks:
        for attention in (block.attn_identity, block.attn_voice):
            torch.nn.init.normal_(attention.to_out[0].weight, std=0.1)
    pipe = LikenessPipeline(
        tokenizer=build_tokenizer(words),
        text_encoder=build_text_encoder(len(words)),
        identity_encoder=LikenessIdentityEncoder(dim=24, layers=1, heads=1),
        voice_encoder=LikenessVoiceEncoder(dim=24, layers=1, heads=1),
        transformer=transformer,
        vae=LikenessAutoencoder(
            channels=8, dim=32, layers=1, heads=1, enlarger_width=8, enlarger_layers=1, audio_channels=6
        ),
        audio_vae=LikenessAudioAutoencoder(channels=6, width=16),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
    assert pipe.text_encoder.config.d_model == TEXT_DIM
    folder = tmp_path_factory.mktemp("tiny") / "pipeline"
    pipe.save_pretrained(folder)
    return folder
