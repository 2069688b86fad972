"""Autoencoder, identity encoder and transformer: their contracts, on random weights."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed, WanTransformerBlock

from wan_app.likeness.attention import attention
from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.identity import LikenessIdentityEncoder
from wan_app.likeness.transformer import LikenessTransformer3DModel, LikenessTransformerBlock


@pytest.fixture(scope="module")
def vae() -> LikenessAutoencoder:
    torch.manual_seed(0)
    model = LikenessAutoencoder(channels=8, dim=32, layers=1, heads=1, enlarger_width=8, enlarger_layers=1)
    torch.nn.init.normal_(model.encoder.proj_out.weight, std=0.1)
    return model


def test_latents_and_frames_have_wans_counts(vae: LikenessAutoencoder) -> None:
    video = torch.rand(1, 3, 17, 48, 80) * 2 - 1
    with torch.no_grad():
        latents = vae.encode(video)
        assert latents.shape == (1, 8, 5, 6, 10)
        assert vae.decode(latents).shape == (1, 3, 17, 96, 160)
        assert vae.decode(latents, enlarge=False).shape == (1, 3, 17, 48, 80)
        assert vae.decode(latents[:, :, 1:2], still=False).shape == (1, 3, 4, 96, 160)


def test_a_picture_and_a_clips_first_frame_have_the_same_latents(vae: LikenessAutoencoder) -> None:
    video = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(vae.encode(video)[:, :, :1], vae.encode(video[:, :, :1]), atol=1e-5)


def test_training_attention_is_the_fused_one() -> None:
    q, k, v = (torch.randn(2, 3, length, 8, requires_grad=True) for length in (5, 7, 7))
    plain = attention(q, k, v)
    with torch.no_grad():
        assert torch.allclose(attention(q, k, v), plain, atol=1e-5)


def block_inputs(dim: int = 48) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return torch.randn(2, 20, dim), torch.randn(2, 7, dim), torch.randn(2, 4, dim), torch.randn(2, 6, dim)


def test_a_wan_block_fits_and_means_the_same_until_identity_is_learned() -> None:
    torch.manual_seed(0)
    wan = WanTransformerBlock(48, 96, 2, cross_attn_norm=True)
    ours = LikenessTransformerBlock(48, 96, 2)
    missing, unexpected = ours.load_state_dict(wan.state_dict(), strict=False)
    assert not unexpected
    assert missing and all("identity" in name for name in missing)
    x, text, identity, temb = block_inputs()
    rotary = WanRotaryPosEmbed(24, (1, 2, 2), 16)(torch.zeros(1, 4, 5, 4, 4))
    with torch.no_grad():
        assert torch.allclose(ours(x, text, identity, temb, rotary), wan(x, text, temb, rotary), atol=1e-4)


@pytest.fixture(scope="module")
def transformer() -> LikenessTransformer3DModel:
    torch.manual_seed(0)
    model = LikenessTransformer3DModel(
        latent_channels=8,
        num_attention_heads=1,
        num_layers=3,
        ffn_dim=64,
        text_dim=16,
        identity_dim=16,
        head_width=16,
    )
    for block in model.blocks:
        torch.nn.init.normal_(block.attn_identity.to_out[0].weight, std=0.2)
    return model


def call(model: LikenessTransformer3DModel, **changes) -> torch.Tensor:
    torch.manual_seed(2)
    inputs = {
        "hidden_states": torch.randn(2, 8, 5, 6, 10),
        "timestep": torch.tensor([0.3, 0.9]),
        "encoder_hidden_states": torch.randn(2, 7, 16),
        "identity_hidden_states": torch.randn(2, 8, 16),
    }
    with torch.no_grad():
        return model(**(inputs | changes))


def test_every_block_reads_the_identity(transformer: LikenessTransformer3DModel) -> None:
    identities: list[torch.Tensor] = []
    hooks = [
        block.attn_identity.register_forward_hook(lambda module, args, out: identities.append(args[1]))
        for block in transformer.blocks
    ]
    first = call(transformer)
    for hook in hooks:
        hook.remove()
    assert len(identities) == 3 and first.shape == (2, 8, 5, 6, 10)
    other = call(transformer, identity_hidden_states=torch.ones(2, 8, 16))
    assert not torch.allclose(first, other)


def test_nobody_is_the_same_said_either_way(transformer: LikenessTransformer3DModel) -> None:
    nobody = call(transformer, identity_hidden_states=None)
    assert torch.equal(nobody, call(transformer, use_identity=torch.tensor([False, False])))
    half = call(transformer, use_identity=torch.tensor([True, False]))
    assert torch.equal(half[1], nobody[1]) and not torch.allclose(half[0], nobody[0])


def test_known_frames_reach_the_network(transformer: LikenessTransformer3DModel) -> None:
    known = torch.zeros(2, 10, 5, 6, 10)
    assert torch.equal(call(transformer), call(transformer, known=known))
    known[:, 0, 0] = 1
    assert not torch.allclose(call(transformer), call(transformer, known=known))


def test_one_person_from_several_pictures() -> None:
    torch.manual_seed(0)
    encoder = LikenessIdentityEncoder(dim=24, layers=1, heads=1, classes={"hat": 4})
    pictures = torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        tokens = encoder.of_person(pictures)
        assert tokens.shape == (1, 8, 24)
        assert torch.allclose(tokens, encoder.of_person(pictures.flip(0)), atol=1e-5)
        found = encoder.recognise(tokens)
    assert found["hat"].shape == (1, 4) and found["colours"].shape == (1, 5, 3)
