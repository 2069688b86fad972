"""The ledger: one SQLite row a job, written before the job is acknowledged."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wan_app.errors import StorageError
from wan_app.runtime.job import ENDED, JobView, event_from_json, event_to_json
from wan_app.types import (
    Cancelled,
    Failed,
    Finished,
    GenerationRequest,
    GenerationResult,
    JobEvent,
    JobState,
    Queued,
)

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    server TEXT NOT NULL,
    state TEXT NOT NULL,
    mode TEXT NOT NULL,
    model TEXT NOT NULL,
    created TEXT NOT NULL,
    request TEXT NOT NULL,
    out TEXT NOT NULL,
    event TEXT,
    result TEXT,
    error TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner);
CREATE INDEX IF NOT EXISTS jobs_unfinished ON jobs (server) WHERE state IN ('queued', 'running');
"""
_COLUMNS = "id, owner, state, mode, model, created, request, out, event, result, error"
_UNFINISHED = "state IN ('queued', 'running')"


def state_of(event: JobEvent) -> JobState:
    """The state a job is in after `event`."""
    if isinstance(event, Queued):
        return "queued"
    if isinstance(event, Finished):
        return "finished"
    if isinstance(event, Failed):
        return "failed"
    return "cancelled" if isinstance(event, Cancelled) else "running"


class Ledger:
    """All jobs of a data folder. Safe from several threads, and from several processes (WAL).

    `server` names the process that answers for a row (see `runtime.lifeline`).

    Raises:
        StorageError: from every method, when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._guarded():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # prompts and faces live here
            # Autocommit: every statement here is a transaction of its own. 10 s is how long a
            # writer waits for another process's write, which takes milliseconds.
            self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_TABLE)

    def add(self, job: JobView, server: str) -> None:
        """Write a new job; on return the row is on disk."""
        values = (
            job.id, job.owner, server, job.state, job.mode, job.model, job.created,
            json.dumps(job.request.to_json()), str(job.out),
        )
        self._execute(
            "INSERT INTO jobs (id, owner, server, state, mode, model, created, request, out) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values, durable=True,
        )

    def record(self, job_id: str, event: JobEvent) -> None:
        """Write what happened to a job: its last event, and the state, result or error it gives."""
        data = event_to_json(event)
        result = json.dumps(data["result"]) if isinstance(event, Finished) else None
        error = json.dumps(data) if isinstance(event, Failed) else None
        self._execute(
            "UPDATE jobs SET state = ?, event = ?, result = ?, error = ? WHERE id = ?",
            (state_of(event), json.dumps(data), result, error, job_id), durable=state_of(event) in ENDED,
        )

    def get(self, job_id: str) -> JobView | None:
        """The job with this id, or None."""
        rows = self._execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        return _view(rows[0]) if rows else None

    def jobs(self, owner: str | None = None) -> list[JobView]:
        """The jobs of one owner, or all, newest last."""
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE ? IS NULL OR owner = ? ORDER BY number", (owner, owner)
        )
        return [_view(row) for row in rows]

    def unfinished(self) -> dict[str, list[JobView]]:
        """Jobs still queued or running, by the server that answers for them."""
        rows = self._execute(
            f"SELECT {_COLUMNS}, server FROM jobs WHERE {_UNFINISHED} ORDER BY number"
        )
        found: dict[str, list[JobView]] = {}
        for row in rows:
            found.setdefault(row[-1], []).append(_view(row[:-1]))
        return found

    def close(self) -> None:
        """Close the file; the ledger cannot be used after."""
        with self._lock:
            self._db.close()

    def _execute(self, statement: str, values: tuple[Any, ...] = (), *, durable: bool = False) -> list[Any]:
        """Run one statement. Progress may be lost in a power cut (NORMAL: no wait for the disk, 0.1 ms);
        a new job and its end may not (FULL)."""
        with self._guarded():
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                "data_dir", f"{error} at {self.path}", "a folder that can be written, with free space"
            ) from error


def _view(row: tuple[Any, ...]) -> JobView:
    job_id, owner, state, mode, model, created, request, out, event, result, error = row
    failure = event_from_json(json.loads(error)) if error else None
    return JobView(
        id=job_id, owner=owner, state=state, mode=mode, model=model, created=created,
        request=GenerationRequest.from_json(json.loads(request)), out=Path(out),
        event=event_from_json(json.loads(event)) if event else None,
        result=GenerationResult.from_json(json.loads(result)) if result else None,
        failure=failure if isinstance(failure, Failed) else None,
    )
