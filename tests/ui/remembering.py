"""Services that only remember: no queue, no worker, jobs as the test puts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.errors import JobNotFound
from wan_app.families import registry
from wan_app.runtime.job import JobView
from wan_app.types import GenerationRequest, Step

ME = {"visitor": "v" * 24, "job": "job-1"}


class RememberingServices:
    """Jobs as the test puts them."""

    def __init__(self) -> None:
        self.jobs_by_id: dict[str, JobView] = {}
        self.submitted: list[GenerationRequest] = []
        self.warmed = 0

    def models(self) -> list[dict[str, Any]]:
        """pocket is here; everything else is not."""
        return [
            {**spec.to_json(), "available": spec.bundled, "reason": None if spec.bundled else "get it <here>"}
            for spec in registry.specs().values()
        ]

    def submit(self, request: GenerationRequest, *, owner: str = "local") -> str:
        """As Services.submit, without a queue."""
        resolved = registry.get(request.model).resolve(request)
        self.submitted.append(resolved)
        self.put(resolved, owner=owner)
        return "job-1"

    def put(self, request: GenerationRequest, *, owner: str, **state: Any) -> None:
        """Make job-1 what the test needs."""
        values = {"state": "running", "event": Step(1, 4, 3.0), **state}
        self.jobs_by_id["job-1"] = JobView(
            id="job-1", owner=owner, mode=request.mode, model="pocket", created="", request=request,
            out=Path("x.mp4"), **values,
        )

    def job(self, job_id: str, *, owner: str = "local") -> JobView:
        """As Services.job."""
        job = self.jobs_by_id.get(job_id)
        if job is None or job.owner != owner:
            raise JobNotFound("job: got 'x'; needed the id of one of your jobs")
        return job

    def cancel(self, job_id: str, *, owner: str = "local") -> JobView:
        """As Services.cancel, at once."""
        self.jobs_by_id[job_id] = replace(self.job(job_id, owner=owner), state="cancelled")
        return self.jobs_by_id[job_id]

    def warm(self) -> None:
        """Counted."""
        self.warmed += 1
