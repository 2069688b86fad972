"""The job queue: first come, first served, one dispatcher thread in front of one worker."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from wan_app.errors import StorageError, WanAppError, WorkerDied
from wan_app.runtime.job import JobView, Task, part_file
from wan_app.runtime.ledger import Ledger, state_of
from wan_app.runtime.worker import Worker
from wan_app.settings import Settings
from wan_app.types import Cancelled, Failed, Finished, JobEvent, Loading, Queued, Step

log = logging.getLogger(__name__)

_NOT_BEGUN = Failed("The studio was closed before this job began; send it again", "WorkerDied")


class _Live:
    """A job of this process that has not ended, with every event so far."""

    def __init__(self, job: JobView) -> None:
        self.job = job
        self.events: list[JobEvent] = []

    def put(self, event: JobEvent) -> None:
        self.events.append(event)
        preview = event.preview if isinstance(event, Step) and event.preview else self.job.preview
        stays = (event.what,) if isinstance(event, Loading) and event.stays else ()
        self.job = replace(
            self.job, event=event, state=state_of(event), preview=preview, notes=self.job.notes + stays,
            result=event.result if isinstance(event, Finished) else None,
            failure=event if isinstance(event, Failed) else None,
        )


class JobQueue:
    """Jobs of this process, from submit to their last event. All methods are thread-safe."""

    def __init__(self, settings: Settings, ledger: Ledger, worker: Worker) -> None:
        self._settings, self._ledger, self._worker = settings, ledger, worker
        self._changed = threading.Condition()
        self._live: dict[str, _Live] = {}
        self._waiting: list[str] = []
        self._running: str | None = None
        self._dispatcher: threading.Thread | None = None
        self._closed = False

    def submit(self, job: JobView, server: str) -> str:
        """Write the job to the ledger, queue it, and return its id.

        Raises:
            StorageError: it could not be written, and will not run.
        """
        self._ledger.add(job, server)
        with self._changed:
            self._live[job.id] = _Live(job)
            self._waiting.append(job.id)
            self._live[job.id].put(Queued(len(self._waiting) - 1 + (self._running is not None)))
            if self._dispatcher is None:
                self._dispatcher = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)
                self._dispatcher.start()
            self._changed.notify_all()
        return job.id

    def cancel(self, job_id: str) -> bool:
        """End a waiting job at once, ask a running one to stop; False if no such job lives here."""
        with self._changed:
            live = self._live.get(job_id)
            living, waiting = live is not None and not live.job.ended, job_id in self._waiting
            if waiting:
                self._waiting.remove(job_id)
        if waiting:
            self._publish(job_id, Cancelled())
            self._renumber()
        elif living:
            self._worker.cancel(job_id)
        return living

    def job(self, job_id: str) -> JobView | None:
        """The job as it stands, from memory while it lives, else from the ledger."""
        with self._changed:
            live = self._live.get(job_id)
        return live.job if live else self._ledger.get(job_id)

    def jobs(self, owner: str | None = None) -> list[JobView]:
        """All jobs in the ledger, newest last, the living ones with their last event."""
        rows = self._ledger.jobs(owner)
        with self._changed:
            return [self._live[row.id].job if row.id in self._live else row for row in rows]

    def watch(self, job_id: str) -> Iterator[JobEvent]:
        """Every event so far, then each new one as it comes, until the job has ended."""
        with self._changed:
            live = self._live.get(job_id)
        if live is None:
            row = self._ledger.get(job_id)
            if row and row.event:
                yield row.event
            return
        seen = 0
        while True:
            with self._changed:
                while len(live.events) == seen:
                    self._changed.wait()
                fresh, ended = live.events[seen:], live.job.ended
            yield from fresh
            seen += len(fresh)
            if ended:
                return

    def close(self) -> None:
        """Stop: waiting jobs fail with the reason, the running one is ended with its worker."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify_all()
        for job_id in waiting:
            self._publish(job_id, _NOT_BEGUN)
        self._worker.close()
        if self._dispatcher:
            self._dispatcher.join(timeout=5)

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job_id = self._running = self._waiting.pop(0)
                job = self._live[job_id].job
            self._renumber()
            self._work(job)
            with self._changed:
                self._running = None

    def _work(self, job: JobView) -> None:
        """Run one job to its end. Whatever goes wrong is this job's failure, never the queue's."""
        task = Task(
            job_id=job.id, request=job.request, out=job.out, log=self._settings.logs_dir / f"{job.id}.log",
            notes=job.notes,
        )
        last: JobEvent | None = None
        try:
            for last in self._worker.run(task):
                self._publish(job.id, last)
            if not isinstance(last, (Finished, Failed, Cancelled)):
                raise WorkerDied("The worker stopped without an answer")
        except WanAppError as error:
            last = Failed(str(error), type(error).__name__, error.exit_code)
            self._publish(job.id, last)
        except Exception as error:
            log.exception("Job %s", job.id)
            last = Failed(f"The studio failed with {type(error).__name__}: {error}")
            self._publish(job.id, last)
        if not isinstance(last, Finished):
            discard_output(self._settings, job)

    def _publish(self, job_id: str, event: JobEvent) -> None:
        recorded = True
        try:
            self._ledger.record(job_id, event)
        except StorageError as error:
            # The job itself goes on: losing a row's progress is better than losing the video.
            log.error("Job %s: %s", job_id, error)
            recorded = False
        with self._changed:
            live = self._live[job_id]
            live.put(event)
            # An end that the ledger could not take (a full disk) stays here, or nobody would learn of it.
            if live.job.ended and recorded:
                del self._live[job_id]
            self._changed.notify_all()

    def _renumber(self) -> None:
        """Tell the waiting jobs their new places."""
        with self._changed:
            for place, job_id in enumerate(self._waiting, start=self._running is not None):
                live = self._live[job_id]
                if live.job.event != Queued(place):
                    live.put(Queued(place))
            self._changed.notify_all()


def discard_output(settings: Settings, job: JobView) -> None:
    """Remove what an unfinished job left (a worker that was killed cannot): its own folder, its part files."""
    folder = job.out.parent
    if folder.parent == settings.outputs_dir and folder.name == job.id:
        shutil.rmtree(folder, ignore_errors=True)
        return
    part = part_file(job.id, job.out)
    with suppress(OSError):  # the folder itself may be gone
        for left in part.parent.glob(f"{part.stem}.*"):  # the video, and its sound beside it
            left.unlink(missing_ok=True)
