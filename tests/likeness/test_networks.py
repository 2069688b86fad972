"""Autoencoder, identity encoder and transformer: their contracts, on random weights."""

from __future__ import annotations

import re

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed, WanTransformerBlock

from wan_app.likeness.attention import attention
from wan_app.likeness.autoencoder import LikenessAutoencoder, sound_by_frame
from wan_app.likeness.identity import LikenessIdentityEncoder
from wan_app.likeness.transformer import Clean, Context, LikenessTransformer3DModel, LikenessTransformerBlock


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


def test_a_frame_is_drawn_by_the_sound_of_its_moment_and_by_none_other(vae: LikenessAutoencoder) -> None:
    torch.manual_seed(2)
    for layer in (vae.enlarger.hear[-1], vae.enlarger.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    latents, audio = torch.randn(1, 8, 3, 4, 4), torch.randn(1, 24, 18)
    other = audio.clone()
    other[:, :, 10:12] = 0  # heard while frame 5 is shown
    with torch.no_grad():
        first, second = (vae.decode(latents, sound=sound_by_frame(one)) for one in (audio, other))
        silent = vae.decode(latents)
    changed = [not torch.equal(first[:, :, i], second[:, :, i]) for i in range(9)]
    # The frame after it looks back a little: a mouth is on its way.
    assert changed == [False] * 5 + [True, True] + [False] * 2
    assert not torch.allclose(first, silent)


def test_a_picture_and_a_clips_first_frame_have_the_same_latents(vae: LikenessAutoencoder) -> None:
    video = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(vae.encode(video)[:, :, :1], vae.encode(video[:, :, :1]), atol=1e-5)


def test_training_attention_is_the_fused_one() -> None:
    q, k, v = (torch.randn(2, 3, length, 8, requires_grad=True) for length in (5, 7, 7))
    plain = attention(q, k, v)
    with torch.no_grad():
        assert torch.allclose(attention(q, k, v), plain, atol=1e-5)


def test_a_wan_block_fits_and_means_the_same_until_identity_and_voice_are_learned() -> None:
    torch.manual_seed(0)
    wan = WanTransformerBlock(48, 96, 2, cross_attn_norm=True)
    ours = LikenessTransformerBlock(48, 96, 32, 2)
    missing, unexpected = ours.load_state_dict(wan.state_dict(), strict=False)
    assert not unexpected
    assert missing and all(re.search("identity|voice|audio", name) for name in missing)
    torch.manual_seed(1)
    x, text, identity, voice, temb = (torch.randn(2, length, 48) for length in (20, 7, 4, 3, 6))
    rotary = WanRotaryPosEmbed(24, (1, 2, 2), 16)(torch.zeros(1, 4, 5, 4, 4))
    with torch.no_grad():
        seen, heard = ours(x, x[:, :0], Context(text, identity, voice, temb, rotary))
        assert torch.allclose(seen, wan(x, text, temb, rotary), atol=1e-4)
    assert heard.shape == (2, 0, 48)


@pytest.fixture(scope="module")
def transformer() -> LikenessTransformer3DModel:
    torch.manual_seed(0)
    model = LikenessTransformer3DModel(
        latent_channels=8,
        audio_channels=6,
        num_attention_heads=1,
        num_layers=3,
        ffn_dim=64,
        audio_ffn_dim=32,
        text_dim=16,
        identity_dim=16,
        voice_dim=16,
        head_width=16,
    )
    for block in model.blocks:
        for path in (block.attn_identity, block.attn_voice):
            torch.nn.init.normal_(path.to_out[0].weight, std=0.2)
    return model


def call_both(model: LikenessTransformer3DModel, **changes) -> Clean:
    torch.manual_seed(2)
    inputs = {
        "hidden_states": torch.randn(2, 8, 5, 6, 10),
        "timestep": torch.tensor([0.3, 0.9]),
        "encoder_hidden_states": torch.randn(2, 7, 16),
        "identity_hidden_states": torch.randn(2, 8, 16),
        "voice_hidden_states": torch.randn(2, 6, 16),
        "audio_hidden_states": torch.randn(2, 6, 34),
    }
    with torch.no_grad():
        return model(**(inputs | changes))


def call(model: LikenessTransformer3DModel, **changes) -> torch.Tensor:
    return call_both(model, **changes).video


@pytest.mark.parametrize("kind", ["identity", "voice"])
def test_every_block_reads_face_and_voice(transformer: LikenessTransformer3DModel, kind: str) -> None:
    read: list[torch.Tensor] = []
    hooks = [
        getattr(block, f"attn_{kind}").register_forward_hook(lambda module, args, out: read.append(args[1]))
        for block in transformer.blocks
    ]
    first = call_both(transformer)
    for hook in hooks:
        hook.remove()
    assert len(read) == 3 and first.video.shape == (2, 8, 5, 6, 10) and first.audio.shape == (2, 6, 34)
    name = f"{kind}_hidden_states"
    other = call_both(transformer, **{name: torch.ones(2, 8 if kind == "identity" else 6, 16)})
    assert not torch.allclose(first.video, other.video) and not torch.allclose(first.audio, other.audio)


def test_picture_and_sound_hear_of_each_other(transformer: LikenessTransformer3DModel) -> None:
    first = call_both(transformer)
    louder = call_both(transformer, audio_hidden_states=torch.ones(2, 6, 34))
    assert not torch.allclose(first.video, louder.video)
    brighter = call_both(transformer, hidden_states=torch.ones(2, 8, 5, 6, 10))
    assert not torch.allclose(first.audio, brighter.audio)
    assert call_both(transformer, audio_hidden_states=None).audio is None


def test_sound_and_picture_stand_on_one_time_axis_in_seconds(transformer: LikenessTransformer3DModel) -> None:
    cos, sin = transformer._rotary(torch.zeros(1, 18, 5, 4, 4), 34)
    assert cos.shape[1] == 5 * 4 + 34
    # The first angle turns by one radian a group of four frames, which is half a second.
    angle = torch.atan2(sin[0, :, 0, 1], cos[0, :, 0, 0])
    assert torch.allclose(angle[:20:4], torch.arange(5.0).where(torch.arange(5) < 4, torch.tensor(4 - 2 * torch.pi)))
    assert torch.allclose(angle[20:24], (torch.arange(4) + 0.5) / 16 / 0.5, atol=1e-5)


def test_nobody_is_the_same_said_either_way(transformer: LikenessTransformer3DModel) -> None:
    nobody = call(transformer, identity_hidden_states=None)
    assert torch.equal(nobody, call(transformer, use_identity=torch.tensor([False, False])))
    half = call(transformer, use_identity=torch.tensor([True, False]))
    assert torch.equal(half[1], nobody[1]) and not torch.allclose(half[0], nobody[0])


def test_no_voice_is_the_same_said_either_way(transformer: LikenessTransformer3DModel) -> None:
    none = call_both(transformer, voice_hidden_states=None).audio
    half = call_both(transformer, use_voice=torch.tensor([True, False])).audio
    assert torch.equal(half[1], none[1]) and not torch.allclose(half[0], none[0])


def test_known_sound_reaches_the_network(transformer: LikenessTransformer3DModel) -> None:
    known = torch.zeros(2, 7, 34)
    first = call_both(transformer).audio
    assert torch.equal(first, call_both(transformer, known_audio=known).audio)
    known[:, 0, :10] = 1
    assert not torch.allclose(first, call_both(transformer, known_audio=known).audio)


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
