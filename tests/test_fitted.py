"""Memory that runs out at each stage: the plan is stepped down in sight of everyone, the request never."""

from __future__ import annotations

import json

import pytest

from tests.fakes import FakePipeline, FakeSpeaker
from tests.families import tiny_wan
from wan_app import devices, fitted
from wan_app.errors import Cancelled, ModelUnavailable, OutOfMemory
from wan_app.families import registry
from wan_app.families.fit import fitting
from wan_app.generate import VideoRecipe
from wan_app.runtime.job import Task
from wan_app.runtime.models import ModelManager
from wan_app.runtime.worker_process import run_task
from wan_app.settings import Settings
from wan_app.types import Exporting, Failed, Finished, GenerationRequest, Loading, Step

CARD = devices.Machine(
    device="cuda", name="a test card", vram=25 * 10**9, vram_free=24 * 10**9, ram=64 * 10**9, ram_free=60 * 10**9,
    disk_free=10**12, tflops=900.0,
)
SPEC = registry.get("wan2.1-t2v-1.3b")
REQUEST = SPEC.resolve(
    GenerationRequest(mode="text", prompt="a cat", model=SPEC.id, width=416, height=256, num_frames=5, seed=7,
                      num_inference_steps=2)
)  # fmt: skip


class Allocator:
    """Runs out of memory at one stage, the first `times` that it comes to it."""

    def __init__(self, stage: str, times: int, error: type[BaseException] = MemoryError) -> None:
        self.stage, self.times, self.error = stage, times, error
        self.asked: list[str] = []

    def at(self, stage: str) -> None:
        self.asked.append(stage)
        if stage == self.stage and self.times > 0:
            self.times -= 1
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")


class Pipeline(FakePipeline):
    """A fake whose stages ask the allocator."""

    def __init__(self, allocator: Allocator) -> None:
        super().__init__()
        self.allocator = allocator

    def generate(self, request, report):
        class Watched:
            check = staticmethod(report.check)

            def __call__(_, event):
                stages = {Loading: "reading", Step: "denoising", Exporting: "decoding"}
                report(event)
                self.allocator.at(stages[type(event)])

        self.request = request
        return super().generate(request, Watched())


class Report:
    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    def check(self):
        pass


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "machine", lambda *_, **__: CARD)
    monkeypatch.setattr(devices, "pick_device", lambda wanted: "cuda")
    return Settings(data_dir=tmp_path)


class Made:
    """One job under an allocator."""

    def __init__(self, settings, allocator):
        self.plans, self.pipelines, self.report = [], [], Report()

        def load(model_id, plan, weights):
            assert all(one.closed for one in self.pipelines), "two models at once"
            self.plans.append(plan)
            allocator.at("loading")
            self.pipelines.append(Pipeline(allocator))
            return self.pipelines[-1]

        self.load, self.settings, self.models = load, settings, ModelManager(load)

    def run(self):
        return fitted.made(REQUEST, self.models, self.settings, self.report, fitted.Stopwatch())

    @property
    def said(self):
        return [one.what for one in self.report.events if isinstance(one, Loading) and "Memory" in one.what]


STAGES = ("loading", "reading", "denoising", "decoding")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_plan_is_stepped_down_and_the_video_is_made(settings, stage, times):
    job = Made(settings, Allocator(stage, times))
    output, notes = job.run()
    assert output.frames.shape == (5, 256, 416, 3)
    assert job.pipelines[-1].request == REQUEST, "size, length and seed are the user's"
    ladder = [(one.vae_tiling, one.offload, one.quantization) for one in job.plans]
    assert ladder == [(False, "none", "none"), (True, "none", "none"), (True, "group", "none"),
                      (True, "group", "nf4")][: times + 1]  # fmt: skip
    # Each step is an event and a line in the result.
    assert len(job.said) == len(notes) == times
    assert "decoding in tiles" in job.said[0] and "tiles" in notes[0]


@pytest.mark.parametrize("stage", STAGES)
def test_after_three_steps_it_is_an_error_with_what_to_do(settings, stage):
    job = Made(settings, Allocator(stage, 99))
    with pytest.raises(OutOfMemory, match="memory ran out under every plan; .*less"):
        job.run()
    assert len(job.plans) == 4 and len(job.said) == 3
    assert job.models.loaded is None


@pytest.mark.parametrize("error", [ModelUnavailable, RuntimeError, ValueError, OSError, Cancelled, KeyboardInterrupt])
@pytest.mark.parametrize("stage", ["loading", "denoising"])
def test_other_faults_are_no_lack_of_memory(settings, stage, error):
    job = Made(settings, Allocator(stage, 1, error))
    with pytest.raises(error):
        job.run()
    assert len(job.plans) == 1 and not job.said


def test_torchs_own_error_counts(settings):
    import torch

    job = Made(settings, Allocator("decoding", 1, torch.OutOfMemoryError))
    job.run()
    assert len(job.said) == 1


def test_the_queue_goes_on_after_a_job_that_fits_nowhere(settings, tmp_path):
    allocator = Allocator("denoising", 99)
    job = Made(settings, allocator)
    recipe = VideoRecipe(settings, job.load, lambda *_: FakeSpeaker())
    events = []
    for number in range(2):
        task = Task(job_id=str(number), request=REQUEST, out=tmp_path / f"{number}.mp4", log=tmp_path / "log")
        events.append(run_task(recipe, task, job.report))
        allocator.times = 0
    failed, finished = events
    assert isinstance(failed, Failed) and (failed.kind, failed.exit_code) == ("OutOfMemory", 4)
    assert isinstance(finished, Finished) and not (tmp_path / "log").exists()


def test_the_next_job_begins_where_the_last_one_fitted(settings, monkeypatch):
    job = Made(settings, Allocator("decoding", 1))
    job.run()
    job.models.evict()
    job.run()
    assert [one.vae_tiling for one in job.plans] == [False, True, True]


def test_a_run_is_measured(settings, monkeypatch):
    monkeypatch.setattr(fitted, "known_costs", lambda *_: (SPEC.costs, True))
    job = Made(settings, Allocator("", 0))
    job.run()
    (row,) = json.loads((settings.data_dir / "measured.json").read_text()).values()
    assert row["runs"] == 1 and row["seconds"] < 1 and row["ram"] > 0
    # No card here, so nothing is known of its memory.
    assert row["vram"] == 1.0


def test_what_is_larger_than_the_machine_is_refused_before_it_is_read(settings, monkeypatch):
    small = CARD.instead(6, 8)
    monkeypatch.setattr(devices, "machine", lambda *_, **__: small)
    monkeypatch.setattr(fitting, "known_costs", lambda *_: (SPEC.costs, True))
    job = Made(settings, Allocator("", 0))
    with pytest.raises(OutOfMemory, match="Does not fit: needs at least .* what would fit|Does not fit.*less"):
        job.run()
    assert not job.plans


def test_a_small_model_stays_loaded_beside_a_large_one(settings):
    job = Made(settings, Allocator("", 0))
    closed = []
    job.models = ModelManager(lambda *key: closed.append(key[0]) or FakePipeline())
    pocket = registry.get("pocket")
    small = pocket.resolve(GenerationRequest(mode="text", prompt="a cat", model="pocket", num_frames=5))
    for request in (small, REQUEST, small, REQUEST):
        fitted.made(request, job.models, settings, Report(), fitted.Stopwatch())
    assert closed == ["pocket", SPEC.id]


def test_a_real_pipeline_is_decoded_in_tiles_after_all(tmp_path, monkeypatch):
    import torch
    from diffusers import AutoencoderKLWan

    spec, folder = tiny_wan.tiny_spec(SPEC.id), tiny_wan.build_text(tmp_path / "weights")
    decode, tried = AutoencoderKLWan.decode, []

    def small_card(vae, latents, **options):
        tried.append(vae.use_tiling)
        if not vae.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB")
        return decode(vae, latents, **options)

    monkeypatch.setattr(AutoencoderKLWan, "decode", small_card)
    request = spec.resolve(
        GenerationRequest(mode="text", prompt="a fox", seed=1, num_inference_steps=2, num_frames=5, weights=folder)
    )
    models = ModelManager(lambda model_id, plan, weights: registry.load(spec, plan, weights))
    settings, report = Settings(data_dir=tmp_path / "data", device="cpu"), Report()
    for _ in range(2):
        output, notes = fitted.made(request, models, settings, report, fitted.Stopwatch())
        assert output.frames.shape == (5, request.height, request.width, 3)
    # The second job finds the model as the first one left it.
    assert tried == [False, True, True] and notes == ()
    models.evict()
