"""The job queue: owners in turn, one dispatcher thread in front of one worker.

A job whose worker dies or hangs is tried once more; after that it fails and the next one goes on. What has to
outlive this process is in the ledger before it is true here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from wan_app.errors import StorageError, WanAppError, WorkerDied
from wan_app.families import registry
from wan_app.runtime import receipts
from wan_app.runtime.forecast import Forecast
from wan_app.runtime.job import JobView, Task, receipt_file, windows_file
from wan_app.runtime.ledger import Ledger, Unfinished, state_of
from wan_app.runtime.leftovers import discard_output, forget_tries
from wan_app.runtime.line import Line, Slot
from wan_app.runtime.worker import Worker
from wan_app.settings import Settings
from wan_app.types import Cancelled, Failed, Finished, JobEvent, Loading, Queued, Step

log = logging.getLogger(__name__)

# A job that kills its worker twice would do it again: the others must not wait for that.
MAX_DEATHS = 2
_NOT_BEGUN = Failed("The studio was closed before this job began; send it again", "WorkerDied")
_GOES_ON = Failed("The studio was closed; this job goes on when it is opened again", "WorkerDied")
_ONCE_MORE = Loading("The engine stopped; trying once more", stays=True)
_ENDS = (Finished, Failed, Cancelled)


class _Live:
    """A job of this process that has not ended, with every event so far."""

    def __init__(self, job: JobView, deaths: int = 0) -> None:
        self.job, self.deaths = job, deaths
        self.events: list[JobEvent] = []
        self.began: float | None = None
        self.why = ""  # of a cancel that was asked for

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
    """Jobs of this process, from submit to their last event. All methods are thread-safe.

    Args:
        lasting: its jobs outlive this process; a later one takes them up (`adopt`).
    """

    def __init__(self, settings: Settings, ledger: Ledger, worker: Worker, *, lasting: bool = False) -> None:
        self._settings, self._ledger, self._worker, self._lasting = settings, ledger, worker, lasting
        self._changed = threading.Condition()
        self._live: dict[str, _Live] = {}
        self._line = Line()
        self._running: str | None = None
        self._dispatcher: threading.Thread | None = None
        self._closed = False
        self._forecast = Forecast(ledger.finished)

    def submit(self, job: JobView, server: str) -> str:
        """Write the job to the ledger, queue it, and return its id.

        Raises:
            StorageError: it could not be written, and will not run.
        """
        with self._changed:
            slot = self._line.slot_for(job.owner, time.time_ns())
        self._ledger.add(job, server, lasting=self._lasting, slot=slot)
        self._enter(_Live(job), slot)
        return job.id

    def adopt(self, one: Unfinished) -> None:
        """Queue a job that a process before this one could not end, in the place that it had there."""
        self._enter(_Live(replace(one.job, state="queued", event=None), one.deaths), one.slot)

    def cancel(self, job_id: str, why: str = "") -> bool:
        """End a waiting job at once, ask a running one to stop; False if no such job lives here.

        Args:
            why: a line for its row, if it is not its owner's own wish.
        """
        with self._changed:
            live = self._live.get(job_id)
            living, waiting = live is not None and not live.job.ended, job_id in self._line
            if waiting:
                self._line.remove(job_id)
        if waiting:
            self._publish(job_id, Cancelled(why))
            self._renumber()
        elif live and living:
            live.why = why
            with suppress(StorageError):  # it is only for the case that this process is killed now
                self._ledger.give_up(job_id, why)
            self._worker.cancel(job_id)
        return living

    def move(self, job_id: str, to: str) -> bool:
        """Let a waiting job change places with its owner's others; False if it does not wait here.

        Args:
            to: as of `Line.move`.
        Raises:
            StorageError: the new order could not be written, and was not taken.
        """
        with self._changed:
            if not self._line.can_move(job_id, to):
                return False
            before = self._line.slots()
            try:
                self._ledger.arrange(self._line.move(job_id, to))
            except StorageError:
                self._line.restore(before)
                raise
        self._renumber()
        return True

    def follow(self, seen: Mapping[str, Slot]) -> None:
        """Take over the order that another process wrote; `seen` is the ledger's of a moment ago."""
        with self._changed:
            if not self._line.differs(seen):
                return
            # Read again while nothing here can change it: what was seen may be older than a move of our own.
            self._line.take(self._ledger.slots())
        self._renumber()

    def job(self, job_id: str) -> JobView | None:
        """The job as it stands, from memory while it lives, else from the ledger."""
        with self._changed:
            if live := self._live.get(job_id):
                return self._seen(live, self._waits())
        return self._ledger.get(job_id)

    def jobs(self, owner: str | None = None) -> list[JobView]:
        """All jobs in the ledger, newest last, the living ones with their last event."""
        rows = self._ledger.jobs(owner)
        with self._changed:
            waits = self._waits()
            return [self._seen(self._live[row.id], waits) if row.id in self._live else row for row in rows]

    def living(self, owner: str | None = None) -> list[JobView]:
        """The jobs of this process that have not ended, in their order: the one that runs, then those that wait."""
        with self._changed:
            waits = self._waits()
            order = [one for one in (self._running, *self._line.ids()) if one in self._live]
            found = [self._seen(self._live[one], waits) for one in order]
        return [job for job in found if not job.ended and owner in (None, job.owner)]

    def lives(self, job_id: str) -> bool:
        """Whether this process answers for the job."""
        with self._changed:
            return job_id in self._live

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

    def forget(self, job_id: str) -> bool:
        """Drop an ended job from memory and ledger; False if it has not ended here."""
        with self._changed:
            live = self._live.get(job_id)
            if live and not live.job.ended:
                return False
            self._ledger.remove(job_id)
            self._live.pop(job_id, None)
        return True

    def settle(self) -> None:
        """Write down the ends that the ledger could not take when they came (a full disk). Until then they stay
        here, or nobody would learn of them; the next process learns of a finished one by its receipt."""
        with self._changed:
            owed = [live.job for live in self._live.values() if live.job.ended and live.job.failure is not _GOES_ON]
        for job in owed:
            if job.event and self._record(job.id, job.event):
                with self._changed:
                    self._live.pop(job.id, None)

    def close(self) -> None:
        """Stop: the running job is ended with its worker. Lasting jobs wait in the ledger for the next
        studio, others fail with the reason."""
        with self._changed:
            self._closed = True
            waiting = self._line.clear()
            self._changed.notify_all()
        for job_id in waiting:
            if self._lasting:
                self._tell(job_id, _GOES_ON)
            else:
                self._publish(job_id, _NOT_BEGUN)
        self._worker.close()
        if self._dispatcher:
            self._dispatcher.join(timeout=5)

    # --- The dispatcher's side --------------------------------------------------------------

    def _enter(self, live: _Live, slot: Slot) -> None:
        job = live.job
        with self._changed:
            self._live[job.id] = live
            self._line.add(job.id, job.owner, slot)
            live.put(Queued(self._line.ids().index(job.id) + (self._running is not None)))
            if self._dispatcher is None:
                self._dispatcher = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)
                self._dispatcher.start()
            self._changed.notify_all()
        self._renumber()  # somebody who has waited less may stand further back now

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._line) or self._closed)
                if self._closed:
                    return
                job_id = self._running = self._line.call()
                live = self._live[job_id]
                live.began = time.monotonic()
            self._renumber()
            self._work(live)
            with self._changed:
                self._running = None

    def _work(self, live: _Live) -> None:
        """Run one job to its end. Whatever goes wrong is this job's failure, never the queue's."""
        job = live.job
        try:
            ending = self._made(live)
        except WanAppError as error:
            ending = Failed(str(error), type(error).__name__, error.exit_code)
        except Exception as error:
            log.exception("Job %s", job.id)
            ending = Failed(f"The studio failed with {type(error).__name__}: {error}")
        if isinstance(ending, Cancelled):
            ending = Cancelled(live.why)
        if not isinstance(ending, Finished):
            discard_output(self._settings, job)  # first, so that no half file belongs to a job that has ended
        if ending is _GOES_ON:
            self._tell(job.id, ending)
        else:
            self._publish(job.id, ending)

    def _made(self, live: _Live) -> JobEvent:
        """The last event of a job, which is run once more if the worker dies of it.

        Raises:
            WorkerDied: it died too often.
        """
        receipt = receipt_file(self._settings, live.job.id)
        while True:
            self._count(self._ledger.begin, live.job.id)
            try:
                return self._run(live.job)
            except WorkerDied as error:
                if result := receipts.read(receipt):  # only the news of it was lost
                    return Finished(result)
                if self._closed:
                    return self._closed_while(live.job.id, error)
                live.deaths += 1
                self._count(self._ledger.count_death, live.job.id)
                if live.deaths >= MAX_DEATHS:
                    raise WorkerDied(f"Given up after {live.deaths} tries: {error}") from error
                log.warning("Job %s: %s", live.job.id, error)
            discard_output(self._settings, live.job)
            self._publish(live.job.id, _ONCE_MORE)

    def _run(self, job: JobView) -> JobEvent:
        """One try: publishes all events but the last, which is returned."""
        task = Task(
            job_id=job.id, request=job.request, out=job.out, log=self._settings.logs_dir / f"{job.id}.log",
            notes=job.notes, receipt=receipt_file(self._settings, job.id),
            windows=windows_file(self._settings, job.id), patience=self._patience(job),
        )
        for event in self._worker.run(task):
            if isinstance(event, _ENDS):
                return event
            self._publish(job.id, event)
        raise WorkerDied("The worker stopped without an answer")

    def _patience(self, job: JobView) -> float:
        return self._settings.stall_seconds or registry.get(job.model).stall_seconds

    def _closed_while(self, job_id: str, error: WorkerDied) -> JobEvent:
        """The end of a job that runs as the studio is closed: of this process only, if the job lasts."""
        if not self._lasting:
            return Failed(str(error), "WorkerDied")
        self._count(self._ledger.give_back, job_id)
        return _GOES_ON

    @staticmethod
    def _count(write: Callable[[str], object], job_id: str) -> None:
        try:
            write(job_id)
        except StorageError as error:  # a full disk: the job itself may still go well
            log.error("Job %s: %s", job_id, error)

    def _publish(self, job_id: str, event: JobEvent) -> None:
        """Write an event down, then tell it. The job itself goes on where the ledger takes nothing: losing a
        row's progress is better than losing the video."""
        job = self._tell(job_id, event, keep=not self._record(job_id, event))
        if job.ended:
            log.info("job ended", extra={"job": job_id, "state": job.state, "kind": job.error_kind, **_took(job)})

    def _record(self, job_id: str, event: JobEvent) -> bool:
        """Whether the ledger took it; the receipt of one that it knows is of no more use."""
        try:
            self._ledger.record(job_id, event)
        except StorageError as error:
            log.error("Job %s: %s", job_id, error)
            return False
        if isinstance(event, _ENDS):
            forget_tries(self._settings, job_id)
        return True

    def _tell(self, job_id: str, event: JobEvent, *, keep: bool = True) -> JobView:
        """Put an event before those who watch; its job, which is let go if it has ended, unless it is to be kept."""
        with self._changed:
            live = self._live[job_id]
            live.put(event)
            if isinstance(event, Finished):
                self._forecast.learn(live.job)
            if live.job.ended and not keep:
                del self._live[job_id]
            self._changed.notify_all()
            return live.job

    # --- Places and times -------------------------------------------------------------------

    def _renumber(self) -> None:
        """Tell the waiting jobs their new places."""
        with self._changed:
            for place, job_id in enumerate(self._line.ids(), start=self._running is not None):
                live = self._live[job_id]
                if live.job.event != Queued(place):
                    live.put(Queued(place))
            self._changed.notify_all()

    def _seen(self, live: _Live, waits: dict[str, float]) -> JobView:
        """The job with the time until it begins, which changes by itself."""
        event = live.job.event
        if not isinstance(event, Queued):
            return live.job
        return replace(live.job, event=replace(event, eta=waits.get(live.job.id)))

    def _waits(self) -> dict[str, float]:
        """Seconds until each waiting job begins, as far as that can be said."""
        found: dict[str, float] = {}
        wait: float | None = 0.0
        if running := self._live.get(self._running or ""):
            elapsed = time.monotonic() - (running.began or time.monotonic())
            wait = self._forecast.left(running.job.request, running.job.event, elapsed)
        for job_id in self._line.ids():
            if wait is None:
                break
            found[job_id] = wait
            takes = self._forecast.seconds(self._live[job_id].job.request)
            wait = None if takes is None else wait + takes
        return found


def _took(job: JobView) -> dict[str, float]:
    """How long it took, if it says so."""
    return {"seconds": round(job.result.timings.get("total", 0.0), 3)} if job.result else {}
