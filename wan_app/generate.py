"""The recipe for one video, readable top to bottom. Runs in the worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import wan_app
from wan_app import devices
from wan_app.families import registry, weights
from wan_app.families.base import Pipeline, Plan
from wan_app.media.storage import storage_error
from wan_app.media.video import export_video
from wan_app.runtime.job import Task, part_file
from wan_app.runtime.models import Load, ModelManager
from wan_app.settings import Settings
from wan_app.types import (
    Character,
    Exporting,
    GenerationRequest,
    GenerationResult,
    Loading,
    Reporter,
)


def generate_video(
    request: GenerationRequest, *, out: Path, models: ModelManager, settings: Settings, report: Reporter,
    part: Path | None = None,
) -> GenerationResult:
    """Make the video of a resolved request and write it to `out`; `part` as in `export_video`.

    Raises:
        Cancelled, ModelUnavailable, OutOfMemory, StorageError, ExportFailed: nothing is left at `out`.
    """
    assert request.model and request.seed is not None
    clock = Stopwatch()
    spec = registry.get(request.model)
    report(Loading(f"Getting {spec.title} ready"))
    with models.lease(spec.id, plan_for(settings), request.weights) as pipeline:
        clock.lap("load")
        output = pipeline.generate(request, report)
        clock.lap("generate")
    report(Exporting("Writing the video"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error("out", out, error) from error
    facts = export_video(
        output.frames, out, fps=spec.fps, audio=output.audio, sample_rate=output.sample_rate,
        metadata=metadata_of(request, settings), report=report, part=part,
    )
    clock.lap("export")
    return GenerationResult(
        file=out, model=spec.id, mode=request.mode, seed=request.seed, width=facts.width, height=facts.height,
        num_frames=facts.num_frames, fps=facts.fps, seconds=facts.seconds, audio=facts.audio,
        timings=clock.timings(),
    )


class Stopwatch:
    """Seconds by stage name."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """End a stage, which began where the last one ended."""
        moment = time.perf_counter()
        self._laps[stage] = round(moment - self._last, 3)
        self._last = moment

    def timings(self) -> dict[str, float]:
        """The stages so far and their `total`."""
        return {**self._laps, "total": round(time.perf_counter() - self._start, 3)}


def plan_for(settings: Settings) -> Plan:
    """How a model is put on this machine."""
    return Plan(device=devices.pick_device(settings.device))


# --- The request inside the file -------------------------------------------------------------


def metadata_of(request: GenerationRequest, settings: Settings) -> dict[str, Any]:
    """What is stored inside the MP4: enough to make it again, and no folder of this machine but `weights`.

    Pictures are named as in the store of inputs; `request_from` finds them there again.
    """
    def name(path: Path) -> Path:
        return Path(path.name) if path.parent == settings.inputs_dir else path

    stored = _with_pictures(request, name).to_json()
    return {"app": "wan-app", "version": wan_app.__version__, "request": stored}


def request_from(metadata: dict[str, Any], settings: Settings) -> GenerationRequest:
    """The request that `metadata_of` stored. Raises KeyError, TypeError or ValueError on other data."""
    request = GenerationRequest.from_json(metadata["request"])
    return _with_pictures(request, lambda path: settings.inputs_dir / path)


def _with_pictures(request: GenerationRequest, change: Callable[[Path], Path]) -> GenerationRequest:
    people = tuple(
        Character(name=one.name, faces=tuple(map(change, one.faces)), voice=one.voice)
        for one in request.characters
    )
    return replace(
        request, characters=people,
        image=change(request.image) if request.image else None,
        last_image=change(request.last_image) if request.last_image else None,
    )


# --- What the worker process runs ------------------------------------------------------------


class VideoRecipe:
    """A `runtime.worker_process.Recipe`: `generate_video` with one model manager."""

    def __init__(self, settings: Settings, load: Load | None = None) -> None:
        self._settings = settings
        self._models = ModelManager(load or self._load)

    def run(self, task: Task, report: Reporter) -> GenerationResult:
        """Make the video of a task."""
        return generate_video(
            task.request, out=task.out, models=self._models, settings=self._settings, report=report,
            part=part_file(task.job_id, task.out),
        )

    def warm(self) -> None:
        """Load the default model, unless one is loaded, which may be in use and far bigger."""
        if self._models.loaded:
            return
        with self._models.lease(registry.get(None).id, plan_for(self._settings)):
            pass

    def _load(self, model_id: str, plan: Plan, folder: Path | None) -> Pipeline:
        spec = registry.get(model_id)
        return registry.load(spec, plan, weights.locate(spec, self._settings, folder))


def open_recipe(settings: Settings) -> VideoRecipe:
    """Called once when the worker starts: the slow import is done before the first job needs it."""
    import torch  # noqa: F401

    return VideoRecipe(settings)
