"""Services that only remember: no queue, no worker, jobs as the test puts them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from wan_app.devices import Machine
from wan_app.errors import JobNotFound
from wan_app.families import registry
from wan_app.families.fit.fitting import fit_request
from wan_app.families.spec import ModelSpec
from wan_app.families.weights.licences import LICENCES
from wan_app.runtime.downloads import DownloadView
from wan_app.runtime.job import JobView
from wan_app.settings import Settings
from wan_app.sharing.who import Who
from wan_app.types import Cancelled, Downloading, GenerationRequest, Step

ABSENT = "weights are not on this machine; get it <here>"
MACHINE = Machine(
    device="cuda", name="RTX 4090", vram=25_769_803_776, vram_free=25_000_000_000, ram=64_000_000_000,
    ram_free=58_000_000_000, disk_free=400_000_000_000, tflops=165.2,
)
ME = {"job": "job-1"}
MINE = Who("owner", "me")


class RememberingServices:
    """Jobs as the test puts them."""

    def __init__(self) -> None:
        self.jobs_by_id: dict[str, JobView] = {}
        self.submitted: list[GenerationRequest] = []
        self.warmed = 0
        self.settings = Settings(data_dir=Path("data"), device="cpu")
        self.machine = MACHINE
        self.accepted: dict[str, str] = {}
        self.fetching: dict[str, DownloadView] = {}

    def models(self) -> list[dict[str, Any]]:
        """pocket is here; everything else is not."""
        return [
            {**spec.to_json(), "available": spec.bundled, "reason": None if spec.bundled else ABSENT,
             "terms": self._terms(spec.licence_id), "fast": self._fast(spec)}
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

    def jobs(self, *, owner: str | None = None) -> list[JobView]:
        """As Services.jobs."""
        return [job for job in self.jobs_by_id.values() if owner in (None, job.owner)]

    def living(self, *, owner: str | None = None) -> list[JobView]:
        """As Services.living."""
        return [job for job in self.jobs(owner=owner) if not job.ended]

    def cancel(self, job_id: str, *, owner: str = "local") -> JobView:
        """As Services.cancel, at once."""
        self.jobs_by_id[job_id] = replace(self.job(job_id, owner=owner), state="cancelled")
        return self.jobs_by_id[job_id]

    def fit(self, request: GenerationRequest) -> dict[str, Any]:
        """As Services.fit, on a machine of the test's own."""
        sized = registry.get(request.model).sized(request)
        return fit_request(sized, self.settings, self.machine).to_json()

    def accept_licence(self, licence_id: str, words: str) -> None:
        """Remembered."""
        self.accepted[licence_id] = words

    def download(self, model_id: str) -> DownloadView:
        """As Services.download; it never ends by itself."""
        self.fetching[model_id] = DownloadView(model_id, Downloading(3_200_000_000, 16_200_000_000, 240.0))
        return self.fetching[model_id]

    def download_of(self, model_id: str) -> DownloadView | None:
        """As Services.download_of."""
        return self.fetching.get(model_id)

    def downloads(self) -> list[DownloadView]:
        """As Services.downloads."""
        return list(self.fetching.values())

    def cancel_download(self, model_id: str) -> None:
        """As Services.cancel_download, at once."""
        self.fetching[model_id] = DownloadView(model_id, Cancelled())

    def _fast(self, spec: ModelSpec) -> dict[str, Any] | None:
        return {**asdict(spec.fast), "available": False} if spec.fast else None

    def _terms(self, licence_id: str) -> dict[str, Any] | None:
        if not licence_id:
            return None
        accepted = "2026-11-22T12:00:00+00:00" if licence_id in self.accepted else None
        return {**asdict(LICENCES[licence_id]), "accepted_at": accepted}

    def warm(self) -> None:
        """Counted."""
        self.warmed += 1
