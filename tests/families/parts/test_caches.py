"""A cache that skips steps must give, for the same input again, the same output: which ones do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.families import tiny_vace, tiny_wan
from tests.families.conftest import Recorder
from tests.families.tiny_parts import same_weights_every_time, wan_transformer
from wan_app.errors import Cancelled, InvalidRequest
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.caches import cached_steps
from wan_app.families.parts.hints import hints_in_turn
from wan_app.families.parts.speed import compile_blocks
from wan_app.types import Character, GenerationRequest, Step

# Below: rounding. Above: a fault.
SAME, WRONG = 1e-5, 0.05
WAN = {"wan2.1", "wan2.2", "vace"}


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


def vace_in_turn() -> Any:
    with same_weights_every_time():
        transformer = vace().eval()
    hints_in_turn(transformer)
    return transformer


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
    return apart(again, plain), len(ran)


def apart(found: Any, wanted: Any) -> float:
    """How far one is off, as a share."""
    return float((found - wanted).norm() / wanted.norm())


def models_with(takes: bool) -> list[str]:
    return [row.id for row in registry.specs().values() if row.takes_step_cache is takes]


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


def test_on_vace_it_is_right_only_where_the_blocks_add_the_hints() -> None:
    with same_weights_every_time():
        as_diffusers_has_it, _ = repeated(vace().eval())
    # Where a new diffusers comes to SAME here, the cache needs `hints_in_turn` no more; memory does.
    assert as_diffusers_has_it > WRONG
    error, blocks = repeated(vace_in_turn())
    assert error < SAME and blocks == 1
    assert models_with(True) == [row.id for row in registry.specs().values() if row.family in {*WAN, "h3"}]


def test_a_model_without_it_refuses_in_one_line() -> None:
    with pytest.raises(InvalidRequest, match="step_cache: got 0.08; needed 0: every step of ltx-2 is run"):
        registry.get("ltx-2").resolve(GenerationRequest(mode="text", prompt="a fox", step_cache=0.08))


def test_vace_tells_the_passes_apart_also_when_guidance_has_ended() -> None:
    import torch

    transformer, other = vace_in_turn(), torch.randn(1, 512, 16, generator=torch.Generator().manual_seed(9))
    prompts = {"cond": given(transformer), "uncond": given(transformer) | {"encoder_hidden_states": other}}
    with torch.no_grad():
        plain = {name: transformer(**inputs)[0] for name, inputs in prompts.items()}
        assert apart(plain["cond"], plain["uncond"]) > 0.01
        with cached_steps([transformer], 0.3):
            for name in ("cond", "uncond", "cond", "uncond", "cond", "cond", "cond"):
                with transformer.cache_context(name):
                    assert apart(transformer(**prompts[name])[0], plain[name]) < SAME
        assert torch.equal(transformer(**prompts["cond"])[0], plain["cond"])


@pytest.fixture(scope="module")
def runner(tiny_vace_folder: Path) -> Iterator[Any]:
    loaded: Any = registry.load(tiny_vace.tiny_spec(), Plan(), tiny_vace_folder)
    yield loaded
    loaded.close()


def asked(runner: Any, picture: Path | None = None, **changes: Any) -> GenerationRequest:
    """A request of six steps, guided; with a picture all that VACE takes: first and last frame, two faces."""
    pictures: dict[str, Any] = {}
    if picture:
        people = (Character(name="character1", faces=(picture, picture)),)
        pictures = {"image": picture, "last_image": picture, "characters": people}
    given = {"prompt": "a fox", "negative_prompt": "rain", "seed": 3, "num_frames": 5, "num_inference_steps": 6}
    return runner.spec.resolve(
        GenerationRequest(mode="reference" if picture else "text", **given, **pictures, **changes)  # type: ignore[arg-type]
    )


def test_with_pictures_vace_gives_the_same_for_the_same_input_again(
    runner: Any, picture: Path, tiny_vace_folder: Path
) -> None:
    """The inputs are those that the pipeline makes of first and last frame and two faces, for both prompts."""
    import torch
    from diffusers import WanVACETransformer3DModel

    seen: list[dict[str, Any]] = []
    hook = runner.pipe.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    runner.generate(asked(runner, picture), Recorder())
    hook.remove()
    # As bf16, in which the model runs, has 8 bits, rounding could not be told from a fault.
    transformer = WanVACETransformer3DModel.from_pretrained(tiny_vace_folder, subfolder="transformer")
    hints_in_turn(transformer)
    inputs = {
        name: {key: one.float() if isinstance(one, torch.Tensor) else one for key, one in given.items()}
        for name, given in zip(("cond", "uncond"), seen)
    }
    hints = inputs["cond"]["control_hidden_states"]
    # Five frames are two latent ones, and each face is one more.
    assert hints.shape[2] == 4 and hints.abs().sum() > 0
    with torch.no_grad():
        plain = {name: transformer(**one)[0] for name, one in inputs.items()}
        assert not torch.equal(plain["cond"], plain["uncond"])
        with cached_steps([transformer], 0.08):
            for name in ("cond", "uncond") * 2:
                with transformer.cache_context(name):
                    assert apart(transformer(**inputs[name])[0], plain[name]) < SAME


@pytest.mark.parametrize("changes", [{}, {"guidance_until": 0.5}, {"guidance_scale": 1.0}], ids=str)
def test_vace_skips_blocks_and_hints_and_each_run_begins_anew(
    runner: Any, picture: Path, changes: dict[str, Any]
) -> None:
    transformer = runner.pipe.transformer
    ran: dict[str, int] = {}
    last = {"block": transformer.blocks[-1], "hint": transformer.vace_blocks[-1]}
    hooks = [
        block.attn1.register_forward_pre_hook(lambda *_, name=name: ran.update({name: ran.get(name, 0) + 1}))
        for name, block in last.items()
    ]

    def frames(step_cache: float, report: Any = None) -> Any:
        ran.clear()
        return runner.generate(asked(runner, picture, step_cache=step_cache, **changes), report or Recorder()).frames

    plain, full = frames(0.0), dict(ran)
    assert full == dict.fromkeys(last, {"{}": 12, "{'guidance_until': 0.5}": 9}.get(str(changes), 6))
    first, few = frames(0.3), dict(ran)
    assert few == dict.fromkeys(last, few["block"]) and few["block"] < full["block"]
    with pytest.raises(Cancelled):
        frames(0.3, Recorder(stop_after=Step))
    assert (frames(0.3) == first).all() and dict(ran) == few
    assert (frames(0.0) == plain).all() and dict(ran) == full
    for hook in hooks:
        hook.remove()


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
