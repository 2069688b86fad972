"""Hints made in turn: the same result to the bit, fewer of them at once, nothing left behind."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families import tiny_vace
from tests.families.conftest import Recorder
from tests.families.parts.test_caches import given, vace
from tests.families.tiny_parts import same_weights_every_time
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.parts.hints import hints_in_turn
from wan_app.families.parts.speed import compile_blocks
from wan_app.types import GenerationRequest


@pytest.mark.parametrize("scales", [None, (1.0, 1.0), (0.25, 1.5)])
def test_the_result_is_the_same_to_the_bit(scales: tuple[float, float] | None) -> None:
    import torch

    with same_weights_every_time():
        transformer = vace().eval()
    scale = {} if scales is None else {"control_hidden_states_scale": torch.tensor(scales)}
    inputs = given(transformer) | scale
    with torch.no_grad():
        plain = transformer(**inputs)[0]
        # What the hints do is seen in the result; else this would show nothing.
        without = transformer(**inputs | {"control_hidden_states_scale": torch.zeros(2)})[0]
        assert (plain - without).norm() > 0.01 * plain.norm()
        hints_in_turn(transformer)
        for _ in range(2):
            assert torch.equal(transformer(**inputs)[0], plain)


def test_each_is_made_after_its_block_and_let_go() -> None:
    import torch

    transformer = vace().eval()
    order: list[str] = []
    alive: list[Any] = []
    for name in ("blocks", "vace_blocks"):
        for index, block in enumerate(getattr(transformer, name)):
            block.attn1.register_forward_pre_hook(lambda *_, what=(name, index): order.append(f"{what[0]}{what[1]}"))
    for block in transformer.vace_blocks:
        block.proj_out.register_forward_hook(lambda *given: alive.append(weakref.ref(given[-1])))
    hints_in_turn(transformer)
    last: list[int] = []
    transformer.blocks[-1].register_forward_hook(lambda *_: last.append(sum(one() is not None for one in alive)))
    with torch.no_grad():
        transformer(**given(transformer))
    assert order == ["blocks0", "vace_blocks0", "blocks1", "blocks2", "vace_blocks1", "blocks3"]
    # After the last block no hint is there any more.
    assert last == [0] and len(alive) == 2


def test_compiled_blocks_give_the_same() -> None:
    """Compiled before, as the runner does it: hint blocks too, each by itself."""
    import torch

    transformer = vace().eval()
    with torch.no_grad():
        plain = transformer(**given(transformer))[0]
        blocks = compile_blocks(transformer, backend="eager")
        hints_in_turn(transformer)
        assert torch.equal(transformer(**given(transformer))[0], plain)
    assert len(blocks) == 6 and all(block._compiled not in (None, block.plain) for block in blocks)


def test_what_breaks_off_in_the_middle_leaves_nothing_for_the_next() -> None:
    import torch

    class Broken(BaseException): ...

    def fail(*_: Any) -> None:
        raise Broken

    transformer = vace().eval()
    with torch.no_grad():
        plain = transformer(**given(transformer))[0]
        hints_in_turn(transformer)
        hook = transformer.blocks[1].register_forward_pre_hook(fail)
        hidden: list[Any] = []
        seen = transformer.vace_blocks[0].register_forward_pre_hook(lambda _, args: hidden.append(weakref.ref(args[0])))
        with pytest.raises(Broken):
            transformer(**given(transformer))
        assert hidden[0]() is None
        hook.remove()
        seen.remove()
        assert torch.equal(transformer(**given(transformer))[0], plain)


@pytest.mark.parametrize("offload", ["text_encoder", "model", "group"])
def test_the_video_is_the_same_wherever_the_parts_are(tiny_vace_folder: Path, offload: str) -> None:
    """Also where blocks stream, and all hints are made first."""
    request = GenerationRequest(mode="text", prompt="a fox", seed=1, num_inference_steps=2, num_frames=5)
    made = []
    for plan in (Plan(), Plan(offload=offload)):
        runner = registry.load(tiny_vace.tiny_spec(), plan, tiny_vace_folder)
        made.append(runner.generate(runner.spec.resolve(request), Recorder()).frames)  # type: ignore[attr-defined]
        runner.close()
    assert np.array_equal(*made)
