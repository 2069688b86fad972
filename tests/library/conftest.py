"""Services with a worker that writes real, marked and signed files in no time, and a cast to play with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests import fakes
from wan_app import services as services_module
from wan_app.generate import marks_of, metadata_of
from wan_app.media.video import export_video
from wan_app.runtime.job import Task
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import Finished, GenerationRequest, JobEvent, Similarity

TEXT = GenerationRequest(mode="text", prompt="a cat in the park", num_inference_steps=2, num_frames=9, seed=3)


class Writer(fakes.ScriptedWorker):
    """Its results are files as they leave the app: marked, signed, with the request in them."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: Settings

    def run(self, task: Task) -> Iterator[JobEvent]:
        """As `Worker.run`, at once."""
        task.out.parent.mkdir(parents=True, exist_ok=True)
        request, marks = task.request, marks_of(task.request, self.settings)
        moving = np.add.outer(np.arange(request.num_frames or 9) * 9, np.add.outer(np.arange(64) * 3, np.arange(64)))
        frames = np.repeat((moving % 256).astype(np.uint8)[..., None], 3, axis=-1)
        facts = export_video(frames, task.out, fps=8, metadata=metadata_of(request, self.settings), marks=marks)
        result = replace(
            fakes.result_of(task), width=facts.width, height=facts.height, num_frames=facts.num_frames,
            seconds=facts.seconds, seed=request.seed or 0, watermark_id=marks.facts.watermark_id,
            consent_id=request.consent_id, notes=task.notes, timings={"total": 2.0},
            similarity=tuple(Similarity(character=one.name, identity=0.75) for one in request.characters),
        )
        yield Finished(result)


def opened(folder: Path, **changes: Any) -> Services:
    """Services on a data folder of their own."""
    settings = Settings(data_dir=folder, device="cpu", **changes)
    worker = Writer()
    services = Services(settings, worker=worker)
    worker.settings = services.settings
    return services


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setattr(services_module.weights, "locate", lambda *_: None)
    one = opened(tmp_path / "data")
    yield one
    one.close()


@pytest.fixture
def elsewhere(tmp_path: Path, services: Services) -> Iterator[Services]:
    """Another install."""
    one = opened(tmp_path / "elsewhere")
    yield one
    one.close()


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    Image.new("RGB", (64, 64), (200, 150, 120)).save(path)
    return path


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of something like a voice."""
    path = tmp_path_factory.mktemp("sounds") / "voice.wav"
    syllables = np.sin(np.pi * np.arange(4 * 16000) / 4000) ** 2
    soundfile.write(path, fakes.tone(150, 4, 16000) * syllables, 16000)
    return path


def make(services: Services, *, owner: str = "local", out: Path | None = None, **changes: Any) -> str:
    """A finished job; its id."""
    job_id = services.submit(replace(TEXT, **changes), owner=owner, out=out)
    list(services.watch(job_id, owner=owner))
    job = services.job(job_id, owner=owner)
    assert job.state == "finished", job.error
    return job_id
