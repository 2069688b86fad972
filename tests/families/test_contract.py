"""What every family must do, on a small checkpoint of each."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from wan_app.errors import Cancelled
from wan_app.families import registry
from wan_app.families.base import Pipeline, Plan
from wan_app.families.spec import ModelSpec
from wan_app.families.weights.locate import check_folder
from wan_app.types import Character, Exporting, GenerationRequest, Loading, Step

from .cases import CASES, Case
from .conftest import Recorder


def layout(spec: ModelSpec) -> tuple[object, ...]:
    """What models of one layout share: one of them stands for all."""
    return spec.family, spec.pipeline_class, spec.tasks


def test_every_layout_has_a_case() -> None:
    cases = {layout(case.spec()) for case in CASES.values()}
    assert cases == {layout(spec) for spec in registry.specs().values()}


def each(*modes: str) -> pytest.MarkDecorator:
    """The test once for every case and every one of `modes` that its model has."""
    pairs = [(name, mode) for name, case in CASES.items() for mode in modes if mode in case.spec().tasks]
    return pytest.mark.parametrize(("loaded", "mode"), pairs, indirect=["loaded"])


class Loaded:
    """A family's pipeline with the means to ask it for small videos."""

    def __init__(self, case: Case, spec: ModelSpec, pipeline: Pipeline, picture: Path) -> None:
        self.case, self.spec, self.pipeline, self.picture = case, spec, pipeline, picture

    def request(self, mode: str, **changes: Any) -> GenerationRequest:
        wanted: dict[str, Any] = {
            "text": {},
            "image": {"image": self.picture},
            "reference": {"characters": (Character(name="character1", faces=(self.picture,)),)},
        }[mode]
        wanted |= {"prompt": "character1 walks through the snow", "seed": 1, "num_inference_steps": 2}
        wanted |= {"num_frames": self.spec.min_frames}
        return self.spec.resolve(GenerationRequest(mode=mode, **(wanted | changes)))  # type: ignore[arg-type]

    def frames(self, mode: str = "", report: Recorder | None = None, **changes: Any) -> np.ndarray:
        """A video of this mode, or of the model's first."""
        mode = mode or self.spec.tasks[0]
        return self.pipeline.generate(self.request(mode, **changes), report or Recorder()).frames


@pytest.fixture(scope="module", params=CASES)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, picture: Path
) -> Iterator[Loaded]:
    case = CASES[request.param]
    folder = case.build(tmp_path_factory.mktemp("weights"))
    spec = case.spec()
    check_folder(spec, folder)
    pipeline = registry.load(spec, Plan(), folder)
    yield Loaded(case, spec, pipeline, picture)
    pipeline.close()


@each("text", "image", "reference")
@pytest.mark.parametrize("grid_steps", [0, 1])
def test_frames_have_exactly_the_shape_asked(loaded: Loaded, mode: str, grid_steps: int) -> None:
    shape = loaded.spec.shapes[-1]
    count = loaded.spec.min_frames + grid_steps * loaded.spec.frame_step
    request = loaded.request(mode, width=shape.width, height=shape.height, num_frames=count)
    output = loaded.pipeline.generate(request, Recorder())
    assert output.frames.dtype == np.uint8
    assert output.frames.shape == (count, shape.height, shape.width, 3)
    assert output.frames.flags["C_CONTIGUOUS"]
    assert (output.audio is None) is not loaded.spec.native_audio


@pytest.mark.parametrize("loaded", [name for name, case in CASES.items() if case.spec().native_audio], indirect=True)
def test_a_model_with_sound_makes_it_as_long_as_the_clip(loaded: Loaded) -> None:
    request = loaded.request(loaded.spec.tasks[0])
    output = loaded.pipeline.generate(request, Recorder())
    assert output.audio is not None and output.sample_rate and 8000 <= output.sample_rate <= 48000
    assert output.audio.dtype == np.float32 and np.isfinite(output.audio).all() and np.abs(output.audio).max() <= 1
    assert output.audio.shape[1] == round(loaded.spec.seconds_of(request.num_frames) * output.sample_rate)
    assert output.audio.any()
    alone = loaded.pipeline.generate(loaded.request(loaded.spec.tasks[0], sound_only=True, say="hello"), Recorder())
    assert alone.frames is None and alone.audio is not None and alone.audio.any()


def test_the_seed_decides(loaded: Loaded) -> None:
    first = loaded.frames(seed=7)
    assert np.array_equal(first, loaded.frames(seed=7))
    assert not np.array_equal(first, loaded.frames(seed=8))


def test_the_prompt_matters(loaded: Loaded) -> None:
    assert not np.array_equal(loaded.frames(), loaded.frames(prompt="a fox at night"))


GUIDED = [name for name, case in CASES.items() if case.spec().max_guidance_scale > 1]


@pytest.mark.parametrize("loaded", GUIDED, indirect=True)
def test_the_guidance_matters(loaded: Loaded) -> None:
    assert not np.array_equal(loaded.frames(), loaded.frames(guidance_scale=1.0))


@each("reference")
def test_the_reference_matters(loaded: Loaded, mode: str, tmp_path: Path) -> None:
    Image.new("RGB", (90, 120), (250, 20, 20)).save(tmp_path / "other.png")
    other = (Character(name="character1", faces=(tmp_path / "other.png",)),)
    assert not np.array_equal(loaded.frames(mode), loaded.frames(mode, characters=other))


@each("image")
def test_the_first_picture_matters_beyond_its_own_frame(loaded: Loaded, mode: str, tmp_path: Path) -> None:
    Image.new("RGB", (90, 120), (250, 20, 20)).save(tmp_path / "other.png")
    other = loaded.frames(mode, image=tmp_path / "other.png")
    assert not np.array_equal(loaded.frames(mode)[1:], other[1:])


@each("image")
def test_the_given_frames_come_out_as_given(loaded: Loaded, mode: str) -> None:
    changes = {"last_image": loaded.picture} if loaded.spec.takes_last_image else {}
    frames = loaded.frames(mode, **changes)
    size = (frames.shape[2], frames.shape[1])
    given = np.asarray(ImageOps.fit(Image.open(loaded.picture), size, Image.Resampling.LANCZOS))
    assert psnr(frames[0], given) >= loaded.case.first_frame_db


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return 10 * np.log10(255**2 / max(float(error), 1e-6))


def test_progress_counts_every_step_and_shows_pictures(loaded: Loaded) -> None:
    report = Recorder()
    loaded.frames(num_inference_steps=3, report=report)
    kinds = [type(event).__name__ for event in report.events]
    assert kinds[0] == "Loading" and kinds[-1] == "Exporting"
    steps = report.of(Step)
    assert [(step.index, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert all(step.eta is None or step.eta >= 0 for step in steps)
    previews = [step.preview for step in steps if step.preview]
    assert previews and Image.open(io.BytesIO(previews[-1])).format == "JPEG"


@pytest.mark.parametrize("stage", [Loading, Step, Exporting])
@each("text", "image", "reference")
def test_cancel_stops_within_a_block_and_leaves_nothing(loaded: Loaded, stage: type, mode: str) -> None:
    before = loaded.frames(mode)
    report = Recorder(stop_after=stage)
    with pytest.raises(Cancelled):
        loaded.frames(mode, report=report)
    assert isinstance(report.events[-1], stage)
    assert np.array_equal(loaded.frames(mode), before)


def test_a_run_leaves_the_process_as_it_was(loaded: Loaded) -> None:
    before = process_state()
    loaded.frames(loaded.spec.tasks[-1])
    with pytest.raises(Cancelled):
        loaded.frames(report=Recorder(stop_after=Step))
    assert process_state() == before


def process_state() -> dict[str, Any]:
    import torch

    return {
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tobytes(),  # type: ignore[index,union-attr]
        "torch": torch.get_rng_state().numpy().tobytes(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
