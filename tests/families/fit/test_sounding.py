"""Costs of the models with sound against the real architectures, built and run on meta tensors."""

from __future__ import annotations

from typing import Any

import pytest

from wan_app.families.fit import sounding
from wan_app.families.fit.costs import Costs
from wan_app.types import GenerationRequest

LATENTS = (8, 16, 24)
# What LTX-2.3 and later have beside LTX-2.
GATES = {
    "gated_attn": True, "cross_attn_mod": True, "audio_gated_attn": True, "audio_cross_attn_mod": True,
    "use_prompt_embeddings": False, "perturbed_attn": True,
}  # fmt: skip


def empty(*shape: int, dtype: Any = None) -> Any:
    import torch

    return torch.empty(shape, dtype=dtype or torch.bfloat16, device="meta")


def ltx(**config: Any) -> Any:
    from diffusers import LTX2VideoTransformer3DModel

    from tests.families.tracing import on_meta

    return on_meta(lambda: LTX2VideoTransformer3DModel(**config))


def ltx_inputs(model: Any, *, batch: int, per_token: bool) -> dict[str, Any]:
    frames, height, width = LATENTS
    tokens, sound = frames * height * width, 60
    text = (3840, 3840) if model.config.get("use_prompt_embeddings", True) else (4096, 2048)
    return {
        "hidden_states": empty(batch, tokens, 128), "audio_hidden_states": empty(batch, sound, 128),
        "encoder_hidden_states": empty(batch, 1024, text[0]), "sigma": empty(batch), "audio_sigma": empty(batch),
        "audio_encoder_hidden_states": empty(batch, 1024, text[1]),
        "timestep": empty(batch, tokens) if per_token else empty(batch),
        "audio_timestep": empty(batch, sound) if per_token else empty(batch),
        "use_cross_timestep": not model.config.get("use_prompt_embeddings", True),
        "num_frames": frames, "height": height, "width": width, "audio_num_frames": sound, "return_dict": False,
    }  # fmt: skip


@pytest.mark.parametrize(("costs", "config", "batch", "per_token"), [
    (sounding.LTX_2, {}, 2, False), (sounding.LTX_2, {}, 1, True), (sounding.ECHO, GATES, 1, True),
])
def test_ltx_is_its_architecture(costs: Costs, config: dict[str, Any], batch: int, per_token: bool) -> None:
    from tests.families.tracing import activation_bytes

    count = sum(one.numel() for one in ltx(**config).parameters())
    assert costs.transformer.parameters == pytest.approx(count, rel=0.01)
    # One layer after the other: what a pass takes does not depend on how many there are.
    model = ltx(**config, num_layers=2)
    peak = activation_bytes(model, lambda: model(**ltx_inputs(model, batch=batch, per_token=per_token)))
    each = (per_token and costs.token_bytes_given) or costs.token_bytes
    tokens = costs.tokens(LATENTS[2] * 32, LATENTS[1] * 32, (LATENTS[0] - 1) * 8 + 1)
    # What is not of LTX-2 is rounded up, and short clips have more text for each token.
    assert 0.95 * peak < each * batch * tokens < 1.15 * peak


def test_ltx_decodes_in_tiles_as_long_as_the_clip() -> None:
    from diffusers import AutoencoderKLLTX2Video

    from tests.families.tracing import activation_bytes, on_meta

    vae = on_meta(lambda: AutoencoderKLLTX2Video(spatial_compression_ratio=32, temporal_compression_ratio=8))
    vae.enable_tiling()
    decode = sounding.LTX_2.decode
    assert decode is not None
    for frames in (4, 7):
        latents = empty(1, 128, frames, 16, 16)
        peak = activation_bytes(vae, lambda latents=latents: vae.decode(latents, return_dict=False))
        found = decode.bytes(512 * 512, 8 * frames - 7, tiling=True)
        assert found == pytest.approx(peak, rel=0.05)
        assert decode.bytes(512 * 512, 8 * frames - 7, tiling=False) == pytest.approx(peak, rel=0.05)


def test_h3_is_its_architecture() -> None:
    import torch
    from diffusers import MiniMaxH3Transformer3DModel

    from tests.families.tracing import activation_bytes, on_meta

    whole_model, model = (on_meta(lambda n=n: MiniMaxH3Transformer3DModel(num_layers=n)) for n in (50, 2))
    costs, (frames, height, width) = sounding.H3, (12, 24, 42)
    count = sum(one.numel() for one in whole_model.parameters())
    assert costs.transformer.parameters == pytest.approx(count, rel=0.01)
    video = costs.tokens(width * 32, height * 32, 39)
    assert video == frames * height * width
    rows = {"video_indices": video, "audio_indices": 200, "text_indices": 256}
    whole = sum(rows.values())
    inputs = {name: empty(count, dtype=torch.long) for name, count in rows.items()}
    inputs |= {name: empty(whole, dtype=torch.long) for name in ("timestep_indices", "token_tags")}
    inputs |= {
        "hidden_states": empty(1, video, 96), "audio_hidden_states": empty(1, 200, 32),
        "encoder_hidden_states": empty(1, 256, 5120), "timestep": empty(3, dtype=torch.float32),
        "position_ids": empty(whole, 3, dtype=torch.long), "return_dict": False,
    }  # fmt: skip
    peak = activation_bytes(model, lambda: model(**inputs))
    assert 0.95 * peak < costs.token_bytes * video < 1.15 * peak


def test_h3_decodes_as_predicted() -> None:
    """Its whole frames, 14.0 bytes a pixel at 960x544 and at 1344x768 for 124 frames, were traced once: a minute."""
    import torch
    from diffusers import AutoencoderKLMiniMaxH3

    from tests.families.tracing import activation_bytes, on_meta, weight_bytes

    def loaded(**config: Any) -> Any:
        vae = on_meta(lambda: AutoencoderKLMiniMaxH3(**config))
        for name, weight in vae.named_parameters():
            if set(name.split(".")) & set(vae._keep_in_fp32_modules):
                weight.data = weight.data.float()
        return vae

    assert weight_bytes(loaded()) == pytest.approx(sounding.H3.rest.bytes() - 0.6e9, rel=0.02)
    # One layer after the other, as above.
    vae = loaded(decoder_num_layers=2)

    def decode(height: int, width: int) -> Any:
        latents = torch.empty(1, vae.config.latent_channels, 37, height // 16, width // 16, device="meta")
        return vae.decode(latents, return_dict=False)[0]

    video = decode(256, 256)
    assert video.shape == (1, 3, 124, 256, 256) and video.dtype == torch.bfloat16
    costs = sounding.H3.decode
    assert costs is not None
    peak = activation_bytes(vae, lambda: decode(256, 448))
    assert costs.bytes(256 * 448, 124, tiling=True) == pytest.approx(peak, rel=0.2)
    # What each further pixel takes: the chunks and, beside them, the clip that they are joined to.
    assert costs.tiled == pytest.approx(2 * 3 * video.element_size(), abs=2.5)


@pytest.mark.parametrize(("costs", "size", "frames", "tflop"), [
    (sounding.LTX_2, (768, 512), 121, 198.8), (sounding.LTX_2, (1216, 704), 121, 502.7),
    (sounding.H3, (1344, 768), 124, 3581.0),
])
def test_the_arithmetic_agrees_with_a_counter(
    costs: Costs, size: tuple[int, int], frames: int, tflop: float
) -> None:
    """Counted once with torch's FlopCounterMode on the same models; that takes minutes."""
    assert costs.tflop(costs.tokens(*size, frames)) == pytest.approx(tflop, rel=0.05)


def test_given_frames_and_faces_cost() -> None:
    from wan_app.families.fit.plan import Work, activations

    work = Work(width=768, height=512, num_frames=121, num_inference_steps=1, guided=True)
    request = GenerationRequest(mode="image", prompt="", image=None)
    assert Work.of(request).given == 0
    from dataclasses import replace

    given = activations(sounding.LTX_2, replace(work, given=1))
    assert given > 1.9 * activations(sounding.LTX_2, work)
    alone = activations(sounding.LTX_2, replace(work, guided=False))
    assert activations(sounding.LTX_2, work) == 2 * alone
    faces = sounding.H3.tokens(1344, 768, 124, 2) - sounding.H3.tokens(1344, 768, 124)
    assert faces == 2 * 4096
