"""Wan2.1's and Wan2.2's own ways: experts, the CLIP of the picture models, schedules, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from wan_app.errors import InvalidRequest, ModelUnavailable
from wan_app.families import registry
from wan_app.families.base import Numbers, Pipeline, Plan
from wan_app.families.parts.residency import OneResident
from wan_app.families.parts.wan_base import transformers_of
from wan_app.families.wan import ImageRunner, image_conditions
from wan_app.families.weights import checkpoints
from wan_app.types import GenerationRequest

from . import tiny_wan
from .conftest import Recorder


@pytest.fixture(scope="module")
def experts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_wan.build_text_experts(tmp_path_factory.mktemp("experts"))


def load(model_id: str, folder: Path) -> Pipeline:
    return registry.load(tiny_wan.tiny_spec(model_id), Plan(), folder)


def asked(model_id: str, **changes: Any) -> GenerationRequest:
    wanted: dict[str, Any] = {"mode": "text", "prompt": "a fox", "seed": 3, "num_frames": 5}
    return tiny_wan.tiny_spec(model_id).resolve(GenerationRequest(**(wanted | changes)))


def test_the_experts_take_turns_with_their_own_guidance(
    experts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = load("wan2.2-t2v-a14b", experts_folder)
    pipe, used, passed = runner.pipe, [], {}  # type: ignore[attr-defined]
    for name in ("transformer", "transformer_2"):
        getattr(pipe, name).register_forward_pre_hook(lambda one, _, name=name: used.append(name))
    run = type(pipe).__call__

    def spied(self: Any, **arguments: Any) -> Any:
        passed.update(arguments)
        return run(self, **arguments)

    monkeypatch.setattr(type(pipe), "__call__", spied)
    runner.generate(asked("wan2.2-t2v-a14b", num_inference_steps=4), Recorder())
    # With the published shift of 12, three of four steps lie above the boundary of 0.875.
    assert used == ["transformer"] * 6 + ["transformer_2"] * 2
    assert (passed["guidance_scale"], passed["guidance_scale_2"]) == (4.0, 3.0)
    assert pipe.scheduler.config.flow_shift == 12.0


class Part:
    """Stands for a torch module: remembers where it is, and calls its hooks."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log, self.hooks = name, log, []  # type: ignore[var-annotated]

    def to(self, device: str) -> None:
        self.log.append(f"{self.name} -> {device}")

    def register_forward_pre_hook(self, hook: Any) -> None:
        self.hooks.append(hook)

    def forward(self) -> None:
        for hook in self.hooks:
            hook(self, ())


def test_only_one_expert_is_on_the_device() -> None:
    log: list[str] = []
    first, second = Part("first", log), Part("second", log)
    OneResident([first, second], "xpu")  # type: ignore[list-item]
    assert log == ["first -> cpu", "second -> cpu", "first -> xpu"]
    log.clear()
    for part in (first, first, second, second, first):
        part.forward()
    # Out before in: both at once do not fit.
    assert log == ["first -> cpu", "second -> xpu", "second -> cpu", "first -> xpu"]


@pytest.mark.parametrize(
    ("model_id", "build", "setting"),
    [
        ("wan2.2-t2v-a14b", tiny_wan.build_text_experts, "boundary_ratio"),
        ("wan2.2-ti2v-5b", tiny_wan.build_text_and_image, "expand_timesteps"),
    ],
)
def test_weights_without_the_setting_they_need_are_refused(
    tmp_path: Path, model_id: str, build: Any, setting: str
) -> None:
    build(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    del index[setting]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnavailable, match=f"sets no {setting}"):
        load(model_id, tmp_path)


def test_one_expert_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="Wan-AI/Wan2.2-T2V-A14B-Diffusers"):
        load("wan2.2-t2v-a14b", tiny_wan.build_text(tmp_path))


def test_the_clip_of_the_older_layout_is_read_whole(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    runner = load("wan2.1-i2v-14b-480p", tiny_wan.build_image(tmp_path))
    stored = load_file(tmp_path / "image_encoder" / "model.safetensors")
    loaded = runner.pipe.image_encoder.state_dict()  # type: ignore[attr-defined]
    name = "encoder.layers.0.mlp.fc1.weight"
    assert torch.equal(loaded[name], stored["vision_model." + name])
    assert loaded[name].dtype == torch.float32


def test_a_last_picture_is_for_the_models_that_learned_it(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(InvalidRequest, match="last_image"):
        asked("wan2.1-i2v-14b-480p", mode="image", image=picture, last_image=picture)
    runner = load("wan2.2-i2v-a14b", tiny_wan.build_image_experts(tmp_path))
    one = asked("wan2.2-i2v-a14b", mode="image", image=picture)
    both = asked("wan2.2-i2v-a14b", mode="image", image=picture, last_image=picture)
    alone, guided = (runner.generate(request, Recorder()).frames for request in (one, both))
    assert (alone[2] != guided[2]).any()


def test_the_picture_is_cropped_and_not_stretched(tmp_path: Path) -> None:
    wide = Image.new("RGB", (200, 20), "red")
    wide.paste("blue", (80, 0, 120, 20))
    wide.save(tmp_path / "wide.png")
    request = asked("wan2.1-i2v-14b-480p", mode="image", image=tmp_path / "wide.png")
    cropped = image_conditions(request, Numbers(32, 32, 5, 1, 1.0, 1))["image"]
    assert cropped.size == (32, 32) and cropped.getpixel((16, 16)) == cropped.getpixel((2, 2)) == (0, 0, 255)


@pytest.mark.parametrize(("size", "shift"), [((832, 480), 3.0), ((1280, 720), 5.0)])
def test_the_shift_of_the_picture_models_follows_the_size(size: tuple[int, int], shift: float) -> None:
    runner = ImageRunner.__new__(ImageRunner)
    runner.spec = registry.get("wan2.1-i2v-14b-720p")
    assert runner.flow_shift(Numbers(*size, 81, 40, 5.0, 1)) == shift


@pytest.mark.parametrize(("name", "loads"), [("int8", "load_in_8bit"), ("nf4", "load_in_4bit")])
@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_each_library_is_given_its_own_quantization(library: str, name: str, loads: str) -> None:
    import torch

    seen: dict[str, Any] = {}

    class Model:
        __module__ = f"{library}.models.anything"

        @classmethod
        def from_pretrained(cls, *_: Any, **arguments: Any) -> Any:
            seen.update(arguments)
            return cls(), {}

        def eval(self) -> Any:
            return self

    checkpoints.load_component(Model, Path("/nowhere"), "transformer", torch.bfloat16, name)
    config = seen["quantization_config"]
    assert type(config).__module__.startswith(library) and getattr(config, loads) is True
    seen.clear()
    checkpoints.load_component(Model, Path("/nowhere"), "vae", torch.float32)
    assert "quantization_config" not in seen
    with pytest.raises(ModelUnavailable, match="quantization: got 'fp5'"):
        checkpoints.load_component(Model, Path("/nowhere"), "transformer", torch.bfloat16, "fp5")


@pytest.mark.parametrize(
    ("model_id", "build", "until", "passes"),
    [
        ("wan2.1-t2v-1.3b", tiny_wan.build_text, 0.5, 4 + 2),
        ("wan2.1-t2v-1.3b", tiny_wan.build_text, 1.0, 8),
        ("wan2.2-t2v-a14b", tiny_wan.build_text_experts, 0.25, 4 + 1),
    ],
)
def test_guidance_ends_where_asked(tmp_path: Path, model_id: str, build: Any, until: float, passes: int) -> None:
    runner = load(model_id, build(tmp_path))
    calls: list[int] = []
    for one in transformers_of(runner.pipe):  # type: ignore[attr-defined]
        one.register_forward_pre_hook(lambda *_: calls.append(1))
    runner.generate(asked(model_id, num_inference_steps=4, guidance_until=until), Recorder())
    assert len(calls) == passes


def test_guidance_ends_early_only_where_it_can() -> None:
    with pytest.raises(InvalidRequest, match="guidance_until: got 0.5; needed 1: ltx-2 is guided"):
        registry.get("ltx-2").resolve(GenerationRequest(mode="text", prompt="a fox", guidance_until=0.5))
    for wrong in (0.0, 1.5, float("nan"), "half"):
        with pytest.raises(InvalidRequest, match="guidance_until"):
            asked("wan2.1-t2v-1.3b", guidance_until=wrong)
