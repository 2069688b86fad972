"""Costs against the real architectures, built and run on meta tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.families import tiny_wan
from wan_app.devices import Machine
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.fit import costs as known
from wan_app.families.fit.costs import Costs, as_in_folder, costs_of
from wan_app.families.fit.plan import Work, activations, predict

GB = 10**9
CARD = Machine(device="cuda", name="x", vram=24 * GB, vram_free=24 * GB, ram=64 * GB, ram_free=64 * GB,
               disk_free=GB, tflops=100.0)  # fmt: skip
# The published configurations.
SMALL = {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
LARGE = {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}
MIDDLE = {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48, "out_channels": 48}
VACE = {"vace_in_channels": 96}


def transformer(config: dict, *, in_turn: bool = True):
    from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

    from tests.families.tracing import on_meta
    from wan_app.families.parts.hints import hints_in_turn

    cls = WanVACETransformer3DModel if "vace_layers" in config else WanTransformer3DModel
    model = on_meta(lambda: cls(attention_head_dim=128, **config))
    if "vace_layers" in config and in_turn:
        hints_in_turn(model)
    return model


def traced(model, costs: Costs, width: int, height: int, num_frames: int, pictures: int = 0) -> int:
    """Bytes of a forward pass."""
    import torch

    from tests.families.tracing import activation_bytes

    def empty(*shape, dtype=torch.bfloat16):
        return torch.empty(shape, dtype=dtype, device="meta")

    side = costs.token[1] // 2
    shape = ((num_frames - 1) // 4 + 1 + pictures, height // side, width // side)
    inputs = {
        "hidden_states": empty(1, model.config.in_channels, *shape),
        "encoder_hidden_states": empty(1, 512, 4096),
        "timestep": empty(1),
    }
    if layers := getattr(model.config, "vace_layers", None):
        inputs["control_hidden_states"] = empty(1, 96, *shape)
        inputs["control_hidden_states_scale"] = torch.ones(len(layers))
    if costs is known.WAN_5B:
        inputs["timestep"] = empty(1, costs.tokens(width, height, num_frames))
    return activation_bytes(model, lambda: model(**inputs, return_dict=False))


def test_the_prediction_for_vace_1_3b_is_within_a_tenth_of_the_traced_bytes():
    import torch
    from diffusers import AutoencoderKLWan
    from transformers import UMT5Config, UMT5EncoderModel

    from tests.families.tracing import on_meta, weight_bytes

    spec = registry.get("wan2.1-vace-1.3b")
    model = transformer(VACE_SMALL)
    xxl = UMT5Config(vocab_size=256384, d_model=4096, d_ff=10240, num_layers=24, num_heads=64, d_kv=64,
                     feed_forward_proj="gated-gelu")  # fmt: skip
    parts = (model, on_meta(lambda: UMT5EncoderModel(xxl)), on_meta(AutoencoderKLWan, torch.float32))
    weights = sum(weight_bytes(one) for one in parts)
    for frames, pictures in ((81, 3), (41, 0)):
        peak = weights + traced(model, spec.costs, 832, 480, frames, pictures)
        work = Work(width=832, height=480, num_frames=frames, num_inference_steps=30, guided=True, pictures=pictures)
        found = predict(spec, spec.costs, Plan(device="cuda"), work, CARD).vram
        assert found == pytest.approx(peak, rel=0.1), f"{frames} frames, {pictures} pictures"


VACE_LARGE = LARGE | VACE | {"vace_layers": list(range(0, 40, 5))}
VACE_SMALL = SMALL | VACE | {"vace_layers": list(range(0, 30, 2))}


@pytest.mark.parametrize("name, config", [
    ("WAN_1_3B", SMALL), ("WAN_14B", LARGE), ("WAN_5B", MIDDLE), ("VACE_14B", VACE_LARGE),
])  # fmt: skip
def test_parameters_and_activations_are_those_of_the_architecture(name, config):
    costs, model = getattr(known, name), transformer(config)
    assert costs.transformer.parameters == pytest.approx(sum(one.numel() for one in model.parameters()), rel=0.01)
    tokens = costs.tokens(832, 480, 41)
    assert costs.token_bytes * tokens == pytest.approx(traced(model, costs, 832, 480, 41), rel=0.03)


@pytest.mark.parametrize("name, config", [("VACE_1_3B", VACE_SMALL), ("VACE_14B", VACE_LARGE)])
def test_where_blocks_stream_all_hints_are_kept_and_counted(name, config):
    costs = getattr(known, name)
    found = traced(transformer(config, in_turn=False), costs, 832, 480, 41)
    assert costs.token_bytes_streamed * costs.tokens(832, 480, 41) == pytest.approx(found, rel=0.03)
    work = Work(width=832, height=480, num_frames=81, num_inference_steps=30, guided=True)
    assert activations(costs, work, streamed=True) > 1.3 * activations(costs, work)


def test_the_text_encoders_share_that_no_quantization_touches():
    from transformers import UMT5Config, UMT5EncoderModel

    from tests.families.tracing import on_meta

    layer = UMT5Config(vocab_size=256384, d_model=4096, d_ff=10240, num_layers=1, num_heads=64, d_kv=64,
                       feed_forward_proj="gated-gelu")  # fmt: skip
    named = dict(on_meta(lambda: UMT5EncoderModel(layer)).named_parameters())
    last = sum(one.numel() for name, one in named.items() if ".wo." in name)
    assert known.UMT5_XXL.kept == pytest.approx(256384 * 4096 + 24 * last, rel=0.01)


def test_decoding_whole_takes_what_is_predicted():
    import torch
    from diffusers import AutoencoderKLWan

    from tests.families.tracing import activation_bytes, on_meta

    vae = on_meta(AutoencoderKLWan, torch.float32)
    latents = torch.empty(1, 16, 4, 60, 104, device="meta")
    peak = activation_bytes(vae, lambda: vae.decode(latents, return_dict=False))
    assert known.WAN_1_3B.decode.bytes(832 * 480, 13, tiling=False) == pytest.approx(peak, rel=0.1)


@pytest.mark.parametrize("model_id", [spec.id for spec in registry.specs().values() if spec.costs])
def test_the_memory_table_and_the_costs_tell_the_same(model_id):
    """Both are for everything on the card at the largest shape; the table counts int8's extra more lightly."""
    spec = registry.get(model_id)
    shape = max(spec.shapes, key=lambda one: one.width * one.height)
    work = Work(width=shape.width, height=shape.height, num_frames=spec.default_frames, num_inference_steps=1,
                guided=spec.guidance_scale > 1, pictures=spec.max_reference_images)  # fmt: skip
    for quantization, table in spec.memory.items():
        # The first way is all on the card, or for H3 all that is ever there at a time.
        plan = Plan(device="cuda", quantization=quantization, offload=spec.costs.offloads[0])
        assert predict(spec, spec.costs, plan, work, CARD).vram == pytest.approx(table, rel=0.16)


@pytest.mark.parametrize("model_id, size, frames, tflop", [
    ("wan2.1-t2v-1.3b", (832, 480), 81, 283), ("wan2.1-t2v-14b", (1280, 720), 81, 6523),
    ("wan2.1-vace-14b", (832, 480), 81, 2029), ("wan2.1-vace-1.3b", (832, 480), 81, 427),
])  # fmt: skip
def test_the_arithmetic_agrees_with_a_counter(model_id, size, frames, tflop):
    costs = costs_of(registry.get(model_id))
    assert costs.tflop(costs.tokens(*size, frames)) == pytest.approx(tflop, rel=0.02)


def test_what_lies_in_the_folder_counts(tmp_path):
    spec = registry.get("wan2.1-t2v-1.3b")
    costs = as_in_folder(spec.costs, tiny_wan.build_text(tmp_path))
    assert 0 < costs.transformer.parameters < 100_000 and 0 < costs.text_encoder.parameters < 100_000
    assert costs.token_bytes == spec.costs.token_bytes
    assert as_in_folder(spec.costs, tmp_path / "nowhere") == spec.costs


def test_a_row_without_costs_has_its_memory_table():
    spec = replace(registry.get("ltx-2"), costs=None)
    costs = costs_of(spec)
    work = Work(width=768, height=512, num_frames=121, num_inference_steps=40, guided=True)
    for quantization, table in spec.memory.items():
        assert predict(spec, costs, Plan(device="cuda", quantization=quantization), work, CARD).vram == table
    assert costs.offloads == ("none",)
