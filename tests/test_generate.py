from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes import FakePipeline, FakeSpeaker
from wan_app.errors import Cancelled
from wan_app.families.base import Output, Plan
from wan_app.generate import VideoRecipe, generate_video, metadata_of, request_from
from wan_app.media.video import read_metadata
from wan_app.runtime.models import ModelManager
from wan_app.settings import Settings
from wan_app.types import Character, Exporting, GenerationRequest, Loading, Step

REQUEST = GenerationRequest(
    mode="text", prompt="a cat", model="pocket", width=128, height=96, num_frames=5, seconds=0.625,
    num_inference_steps=2, guidance_scale=1.0, seed=3,
)


def test_warming_up_never_drops_a_loaded_model(settings):
    loaded = []
    recipe = VideoRecipe(settings, lambda model_id, *_: loaded.append(model_id) or FakePipeline())
    with recipe._models.lease("wan2.1-vace-14b", Plan()):
        pass
    recipe.warm()
    assert loaded == ["wan2.1-vace-14b"]
    recipe._models.evict()
    recipe.warm()
    recipe.warm()
    assert loaded == ["wan2.1-vace-14b", "pocket"]


class Report:
    def __init__(self, stop_at=None):
        self.events, self.stop_at = [], stop_at

    def __call__(self, event):
        self.check()
        self.events.append(event)

    def check(self):
        if self.stop_at and any(getattr(one, "what", None) == self.stop_at for one in self.events):
            raise Cancelled


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, device="cpu")


def make(settings, report, pipeline=None):
    models = ModelManager(lambda *_: pipeline or FakePipeline())
    out = settings.outputs_dir / "job" / "clip.mp4"
    speakers = ModelManager(lambda *_: FakeSpeaker())
    return generate_video(REQUEST, out=out, models=models, speakers=speakers, settings=settings, report=report)


def test_the_result_is_measured_and_the_request_is_inside(settings):
    report = Report()
    result = make(settings, report)
    assert (result.num_frames, result.fps, result.seed, result.mode) == (5, 8.0, 3, "text")
    # 96 pixels on the short side are written as 576.
    assert (result.width, result.height) == (768, 576)
    assert set(result.timings) == {"load", "generate", "export", "total"}
    assert result.timings["total"] == pytest.approx(sum(result.timings.values()) / 2, abs=0.05)
    assert read_metadata(result.file)["request"] == REQUEST.to_json()
    kinds = [type(one) for one in report.events]
    assert kinds == [Loading, Loading, Step, Step, Exporting, Exporting]


def test_cancel_while_writing_leaves_nothing(settings):
    with pytest.raises(Cancelled):
        make(settings, Report(stop_at="Writing the video"))
    assert list((settings.outputs_dir / "job").iterdir()) == []


def test_wrong_frames_leave_nothing(settings):
    class Wrong(FakePipeline):
        def generate(self, request, report):
            return Output(frames=super().generate(request, report).frames.astype("float32"))

    with pytest.raises(Exception, match="uint8"):
        make(settings, Report(), Wrong())
    assert list((settings.outputs_dir / "job").iterdir()) == []


def test_stored_pictures_are_found_again_by_name(settings):
    kept = settings.inputs_dir / "abc.png"
    people = (Character(name="character1", faces=(kept, kept)),)
    request = GenerationRequest(
        mode="reference", prompt="x", image=kept, last_image=kept, characters=people, consent=True,
        weights=Path("/models/vace"),
    )
    stored = json.loads(json.dumps(metadata_of(request, settings)))
    assert str(settings.data_dir) not in json.dumps(stored)
    assert request_from(stored, settings) == request
