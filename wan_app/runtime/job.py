"""A job as data: what the queue, the ledger and the worker pass to each other."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from wan_app.settings import Settings
from wan_app.types import (
    Cancelled,
    Downloading,
    Exporting,
    Failed,
    Finished,
    GenerationRequest,
    GenerationResult,
    JobEvent,
    JobState,
    Loading,
    Queued,
    Step,
)

ENDED: frozenset[JobState] = frozenset(("finished", "failed", "cancelled"))
_EVENTS: dict[str, Any] = {
    one.__name__: one for one in (Queued, Downloading, Loading, Step, Exporting, Finished, Failed, Cancelled)
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker is given. `out` is the file to make; `log` takes a traceback, if there is one.

    `notes` are lines for people on what was mended in the inputs; the result repeats them. `receipt` is where
    the result is put down once the file is whole, `windows` where the finished part of a long clip is kept.
    `patience`: a worker silent for so many seconds hangs.
    """

    job_id: str
    request: GenerationRequest
    out: Path
    log: Path
    notes: tuple[str, ...] = ()
    receipt: Path | None = None
    windows: Path | None = None
    patience: float = 1800.0


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job as it stands. `preview` is the last JPEG, kept in memory only while the job runs, and so are
    `notes`: what was mended in the inputs, and where the plan was stepped down; the result then holds them."""

    id: str
    owner: str
    state: JobState
    mode: str
    model: str
    created: str
    request: GenerationRequest
    out: Path
    event: JobEvent | None = None
    preview: bytes | None = None
    notes: tuple[str, ...] = ()
    result: GenerationResult | None = None
    failure: Failed | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def file(self) -> Path | None:
        """The finished video, if there is one."""
        return self.result.file if self.result else None

    @property
    def error(self) -> str | None:
        """One line for the user, of a failed job, and of one that was cancelled for a reason."""
        if isinstance(self.event, Cancelled):
            return self.event.why or None
        return self.failure.error if self.failure else None

    @property
    def error_kind(self) -> str | None:
        """Class name in `errors`, of a failed job."""
        return self.failure.kind if self.failure else None

    @property
    def exit_code(self) -> int:
        """What the command line ends with for this job."""
        if self.failure:
            return self.failure.exit_code
        return 130 if self.state == "cancelled" else 0

    def to_json(self) -> dict[str, Any]:
        """The row that `jobs --json` prints; `file` and `error` are null until there is one."""
        row: dict[str, Any] = {
            "id": self.id, "state": self.state, "mode": self.mode, "model": self.model,
            "created": self.created, "file": str(self.file) if self.file else None, "error": self.error,
        }
        if self.result:
            row["result"] = self.result.to_json()
        elif self.failure:
            row |= {"error_kind": self.failure.kind, "exit_code": self.exit_code}
        elif not self.ended and self.event:
            row["progress"] = event_to_json(self.event)
        return row


def part_file(job_id: str, out: Path) -> Path:
    """Where a job's video grows: a hidden name beside `out`, known to whoever finds its worker dead."""
    return out.with_name(f".{job_id}.part")


def receipt_file(settings: Settings, job_id: str) -> Path:
    """Where a job's worker puts down that it made it (see `runtime.receipts`)."""
    return settings.receipts_dir / f"{job_id}.json"


def windows_file(settings: Settings, job_id: str) -> Path:
    """Where the finished part of a job's clip is kept until the job ends, for its next try."""
    return settings.windows_dir / f"{job_id}.pt"


def new_job_id() -> str:
    """Unguessable (80 random bits) and sorting by the millisecond it was made in."""
    return f"{time.time_ns() // 1_000_000:011x}-{secrets.token_hex(10)}"


def now() -> str:
    """The time as the ledger keeps it: UTC, ISO 8601, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_to_json(event: JobEvent) -> dict[str, Any]:
    """The event as JSON types, its class name under `event`; without previews, which are too big."""
    if isinstance(event, Finished):
        return {"event": "Finished", "result": event.result.to_json()}
    values = {f.name: getattr(event, f.name) for f in fields(event) if f.name != "preview"}
    return {"event": type(event).__name__, **values}


def event_from_json(data: dict[str, Any]) -> JobEvent:
    """The event that `event_to_json` wrote."""
    values = dict(data)
    kind = _EVENTS[values.pop("event")]
    if kind is Finished:
        return Finished(GenerationResult.from_json(values["result"]))
    return kind(**values)
