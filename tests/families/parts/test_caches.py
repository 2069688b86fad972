"""A cache that skips steps must give, for the same input again, the same output: which ones do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.families import tiny_vace, tiny_wan
from tests.families.conftest import Recorder
from tests.families.tiny_parts import same_weights_every_time, wan_transformer
from wan_app.errors import InvalidRequest
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.caches import cached_steps
from wan_app.families.parts.speed import compile_blocks
from wan_app.types import GenerationRequest

# Below: rounding. Above: a fault.
SAME, WRONG = 1e-5, 0.05


def given(transformer: Any) -> dict[str, Any]:
    import torch

    random = torch.Generator().manual_seed(0)
    channels = transformer.config.in_channels
    found = {
        "hidden_states": torch.randn(1, channels, 2, 4, 6, generator=random), "timestep": torch.tensor([500]),
        # So many, for that is where the words begin if there is a picture before them.
        "encoder_hidden_states": torch.randn(1, 512, 16, generator=random), "return_dict": False,
    }  # fmt: skip
    if transformer.config.get("image_dim"):
        found["encoder_hidden_states_image"] = torch.randn(1, 5, 16, generator=random)
    if "vace_in_channels" in transformer.config:
        shape = (1, transformer.config.vace_in_channels, 2, 4, 6)
        found["control_hidden_states"] = torch.randn(shape, generator=random)
    return found


def vace() -> Any:
    from diffusers import WanVACETransformer3DModel

    return WanVACETransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=32, ffn_dim=32, num_layers=4,
        vace_layers=[0, 2], rope_max_seq_len=32,
    )  # fmt: skip


def repeated(transformer: Any, **changes: Any) -> tuple[float, int]:
    """Relative error of the second pass of the same input, and blocks that it ran."""
    import torch

    ran: list[int] = []
    inputs = given(transformer) | changes
    for block in transformer.blocks:
        block.attn1.register_forward_pre_hook(lambda *_: ran.append(1))
    with torch.no_grad():
        plain = transformer(**inputs)[0]
        with cached_steps([transformer], 0.08), transformer.cache_context("cond"):
            transformer(**inputs)
            ran.clear()
            again = transformer(**inputs)[0]
    return float((again - plain).norm() / plain.norm()), len(ran)


def models_with(takes: bool) -> list[str]:
    wan = {"wan2.1", "wan2.2", "vace"}
    return [row.id for row in registry.specs().values() if row.family in wan and row.takes_step_cache is takes]


# The transformers of the rows: words alone, a picture beside the noise, and CLIP's view of it too.
KINDS: list[dict[str, Any]] = [
    {}, {"in_channels": 36}, {"in_channels": 36, "image_dim": 16, "added_kv_proj_dim": 24}
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timestep", [(1,), (1, 12)], ids=["one level", "a level for each token"])
def test_what_is_offered_is_right(kind: dict[str, Any], timestep: tuple[int, ...]) -> None:
    import torch

    with same_weights_every_time():
        transformer = wan_transformer(num_layers=4, **kind).eval()
    error, blocks = repeated(transformer, timestep=torch.full(timestep, 500))
    assert error < SAME and blocks == 1


def test_on_vace_the_cache_is_wrong_and_not_offered() -> None:
    with same_weights_every_time():
        error, _ = repeated(vace().eval())
    # Where a new diffusers comes to SAME here, VACE's rows can offer it.
    assert error > WRONG
    assert models_with(False) == ["wan2.1-vace-1.3b", "wan2.1-vace-14b"]
    with pytest.raises(InvalidRequest, match="step_cache: got 0.08; needed 0: every step of wan2.1-vace-1.3b is run"):
        tiny_vace.tiny_spec().resolve(GenerationRequest(mode="text", prompt="a fox", step_cache=0.08))


def test_blocks_are_as_before_afterwards_compiled_ones_too() -> None:
    import torch

    transformer = wan_transformer(num_layers=4).eval()
    blocks = compile_blocks(transformer, backend="eager")
    with torch.no_grad():
        plain = transformer(**given(transformer))[0]
        assert repeated(transformer)[0] < SAME
        assert [block.forward for block in transformer.blocks] == blocks
        with pytest.raises(KeyError), cached_steps([transformer], 0.08):
            raise KeyError
        assert torch.equal(transformer(**given(transformer))[0], plain)


def test_a_run_skips_blocks_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    runner: Any = registry.load(tiny_wan.tiny_spec("wan2.1-t2v-1.3b"), Plan(), tiny_wan.build_text(tmp_path))
    wanted = GenerationRequest(mode="text", prompt="a fox", seed=3, num_frames=5, num_inference_steps=6)
    last: list[int] = []
    runner.pipe.transformer.blocks[-1].attn1.register_forward_pre_hook(lambda *_: last.append(1))

    def ran(step_cache: float) -> tuple[Any, int]:
        last.clear()
        frames = runner.generate(runner.spec.resolve(replace(wanted, step_cache=step_cache)), Recorder()).frames
        return frames, len(last)

    (plain, full), (first, few), (second, as_few), (after, _) = map(ran, (0.0, 0.3, 0.3, 0.0))
    assert full == 12 and few == as_few < full
    assert (first == second).all() and (after == plain).all()


def test_a_model_that_streams_runs_every_step_and_says_so(tmp_path: Path) -> None:
    runner: Any = registry.load(
        tiny_wan.tiny_spec("wan2.1-t2v-1.3b"), Plan(offload="group"), tiny_wan.build_text(tmp_path)
    )
    request = GenerationRequest(mode="text", prompt="a fox", seed=3, num_frames=5, step_cache=0.1)
    assert runner.generate(runner.spec.resolve(request), Recorder()).notes == (
        "No steps were skipped: the model streams through the card.",
    )
