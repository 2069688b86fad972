"""The ledger: one SQLite row a job, written before the job is acknowledged."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_app.errors import StorageError
from wan_app.runtime.job import ENDED, JobView, event_from_json, event_to_json
from wan_app.runtime.line import FIRST, Slot
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
# What came after the first version; a ledger that lacks them gets them when it is opened.
_ADDED = {
    "lasting": "INTEGER NOT NULL DEFAULT 0",  # it outlives its server: the next studio goes on with it
    "starts": "INTEGER NOT NULL DEFAULT 0",  # how often it was begun
    "deaths": "INTEGER NOT NULL DEFAULT 0",  # how often its worker died or hung
    "unwanted": "INTEGER NOT NULL DEFAULT 0",  # a cancel was asked for, and its end not yet seen
    "why": "TEXT NOT NULL DEFAULT ''",  # the reason for that cancel, if it was not the owner's own wish
    "turn": "INTEGER NOT NULL DEFAULT 0",  # turn and place: see line.Slot
    "place": "INTEGER NOT NULL DEFAULT 0",
    "notes": "TEXT",  # what was mended in its inputs
}
_COLUMNS = "id, owner, state, mode, model, created, request, out, notes, event, result, error"
_UNFINISHED = "state IN ('queued', 'running')"


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A job that has not ended, with what whoever takes it up needs to know; see the columns."""

    job: JobView
    lasting: bool = False
    starts: int = 0
    deaths: int = 0
    unwanted: bool = False
    why: str = ""
    slot: Slot = FIRST


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The ledger in numbers; seconds are those of finished jobs."""

    jobs: dict[str, int]
    video_seconds: float
    work_seconds: float


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
            _add_columns(self._db)

    def add(self, job: JobView, server: str, *, lasting: bool = False, slot: Slot = FIRST) -> None:
        """Write a new job; on return the row is on disk."""
        values = (
            job.id, job.owner, server, job.state, job.mode, job.model, job.created,
            json.dumps(job.request.to_json()), str(job.out), json.dumps(job.notes), lasting, *slot,
        )
        self._execute(
            "INSERT INTO jobs (id, owner, server, state, mode, model, created, request, out, notes, lasting, "
            "turn, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values, durable=True,
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

    def begin(self, job_id: str) -> None:
        """Count one more try, before it is made: what it may bring down must not hide it."""
        self._execute(
            f"UPDATE jobs SET state = 'running', starts = starts + 1 WHERE id = ? AND {_UNFINISHED}",
            (job_id,), durable=True,
        )

    def count_death(self, job_id: str) -> None:
        """Remember that the worker died, or was ended because it hung, while it made this job."""
        self._execute("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?", (job_id,), durable=True)

    def give_back(self, job_id: str) -> None:
        """Let a running job wait again: its try was ended by the user, who closed the studio."""
        self._execute(
            "UPDATE jobs SET state = 'queued', event = NULL, starts = max(0, starts - 1) "
            "WHERE id = ? AND state = 'running'", (job_id,), durable=True,
        )

    def give_up(self, job_id: str, why: str = "") -> bool:
        """Write down that the job is not wanted any more, and why: a cancel outlives the process that was asked.

        Whether it is a studio's, which will see it; a command line looks at nobody's wishes.
        """
        self._execute(
            f"UPDATE jobs SET unwanted = 1, why = ? WHERE id = ? AND {_UNFINISHED}", (why, job_id), durable=True
        )
        return bool(self._execute("SELECT 1 FROM jobs WHERE id = ? AND lasting AND unwanted", (job_id,)))

    def claim(self, job_id: str, dead: str, server: str) -> bool:
        """Answer for a job of a dead server from now on, and let it wait; False if another was quicker."""
        with self._transaction() as db:
            found = db.execute(
                "UPDATE jobs SET server = ?, state = 'queued', event = NULL "
                f"WHERE id = ? AND server = ? AND {_UNFINISHED}", (server, job_id, dead),
            )
            return found.rowcount == 1

    def arrange(self, slots: Iterable[tuple[str, Slot]]) -> None:
        """Write new slots of jobs, all or none."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE jobs SET turn = ?, place = ? WHERE id = ?", [(*slot, job_id) for job_id, slot in slots]
            )

    def slots(self) -> dict[str, Slot]:
        """Where each job that waits stands."""
        rows = self._execute("SELECT id, turn, place FROM jobs WHERE state = 'queued'")
        return {job_id: Slot(turn, place) for job_id, turn, place in rows}

    def remove(self, job_id: str) -> None:
        """Forget an ended job."""
        self._execute(f"DELETE FROM jobs WHERE id = ? AND NOT {_UNFINISHED}", (job_id,), durable=True)

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

    def tally(self) -> Tally:
        """How many jobs there are by state, how long the finished videos are, and how long they took."""
        rows = self._execute(
            "SELECT state, COUNT(*), TOTAL(json_extract(result, '$.seconds')), "
            "TOTAL(json_extract(result, '$.timings.total')) FROM jobs GROUP BY state"
        )
        return Tally(
            jobs={state: count for state, count, *_ in rows}, video_seconds=sum(row[2] for row in rows),
            work_seconds=sum(row[3] for row in rows),
        )

    def results(self, owner: str) -> Iterator[JobView]:
        """The finished jobs of an owner, newest first; each is read when it is asked for."""
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE owner = ? AND state = 'finished' ORDER BY number DESC", (owner,)
        )
        return map(_view, rows)

    def mentions(self, text: str) -> bool:
        """Whether any job's request or result holds this text: a file's name, a watermark id."""
        rows = self._execute(
            "SELECT 1 FROM jobs WHERE instr(request, ?1) OR instr(coalesce(result, ''), ?1) LIMIT 1", (text,)
        )
        return bool(rows)

    def tries(self, job_id: str) -> int:
        """How often a job was begun."""
        rows = self._execute("SELECT starts FROM jobs WHERE id = ?", (job_id,))
        return rows[0][0] if rows else 0

    def finished(self, model: str, limit: int) -> list[JobView]:
        """The last finished jobs of a model, newest first."""
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE model = ? AND state = 'finished' ORDER BY number DESC LIMIT ?",
            (model, limit),
        )
        return [_view(row) for row in rows]

    def unfinished(self) -> dict[str, list[Unfinished]]:
        """Jobs still queued or running, in their order, by the server that answers for them."""
        rows = self._execute(
            f"SELECT {_COLUMNS}, server, lasting, starts, deaths, unwanted, why, turn, place "
            f"FROM jobs WHERE {_UNFINISHED} ORDER BY turn, place, number"
        )
        found: dict[str, list[Unfinished]] = {}
        for *columns, server, lasting, starts, deaths, unwanted, why, turn, place in rows:
            found.setdefault(server, []).append(Unfinished(
                job=_view(columns), lasting=bool(lasting), starts=starts, deaths=deaths, unwanted=bool(unwanted),
                why=why, slot=Slot(turn, place),
            ))
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
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guarded():
            self._db.execute("PRAGMA synchronous=FULL")
            with _at_once(self._db):
                yield self._db

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                "data_dir", f"{error} at {self.path}", "a folder that can be written, with free space"
            ) from error


@contextmanager
def _at_once(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that waits for its right to write first, and ends whole or undone."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # a full disk may have undone it already
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _add_columns(db: sqlite3.Connection) -> None:
    """Bring the table of an earlier version up to this one; its rows keep all they had."""
    def missing() -> list[str]:
        known = {row[1] for row in db.execute("PRAGMA table_info(jobs)")}
        return [name for name in _ADDED if name not in known]

    if not missing():  # no lock is asked for where there is nothing to do
        return
    with _at_once(db):
        for name in missing():  # looked at again: another process may have been quicker
            db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_ADDED[name]}")


def _view(row: Any) -> JobView:
    job_id, owner, state, mode, model, created, request, out, notes, event, result, error = row
    failure = event_from_json(json.loads(error)) if error else None
    return JobView(
        id=job_id, owner=owner, state=state, mode=mode, model=model, created=created,
        request=GenerationRequest.from_json(json.loads(request)), out=Path(out),
        notes=tuple(json.loads(notes)) if notes else (),
        event=event_from_json(json.loads(event)) if event else None,
        result=GenerationResult.from_json(json.loads(result)) if result else None,
        failure=failure if isinstance(failure, Failed) else None,
    )
