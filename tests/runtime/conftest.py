"""Jobs and tasks to try the runtime with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wan_app.runtime.job import JobView, Task, new_job_id, now
from wan_app.settings import Settings
from wan_app.types import GenerationRequest


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # "cpu" is named so that nobody imports torch to find out.
    return Settings(data_dir=tmp_path / "data", device="cpu")


@pytest.fixture
def make_job(settings: Settings) -> Callable[..., JobView]:
    def make(prompt: str = "a cat", owner: str = "local") -> JobView:
        job_id = new_job_id()
        request = GenerationRequest(
            mode="text", prompt=prompt, model="pocket", width=128, height=128, num_frames=5,
            num_inference_steps=3, guidance_scale=1.0, seed=7, seconds=0.625,
        )
        return JobView(
            id=job_id, owner=owner, state="queued", mode="text", model="pocket", created=now(),
            request=request, out=settings.outputs_dir / job_id / "clip.mp4",
        )

    return make


@pytest.fixture
def make_task(make_job: Callable[..., JobView], settings: Settings) -> Callable[[str], Task]:
    def make(prompt: str = "a cat") -> Task:
        job = make_job(prompt)
        return Task(
            job_id=job.id, request=job.request, out=job.out, log=settings.logs_dir / f"{job.id}.log"
        )

    return make
