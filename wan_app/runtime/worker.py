"""The worker seen from the server: a process of its own which makes one video at a time.

Messages are pickles over the child's stdin and stdout, which works alike on every system. It is
a plain subprocess and not `multiprocessing`, whose children import the parent's main module
first, and with it all of gradio.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from wan_app.errors import WorkerDied
from wan_app.runtime.child import Child, Silent
from wan_app.runtime.job import Task
from wan_app.settings import Settings
from wan_app.types import Cancelled, Failed, Finished, JobEvent, Loading

# A cancel takes one transformer block. Where no cancel point is reached for this long (weights of
# tens of GB being read), the process is ended instead: the user's wish costs a reload, not a wait.
CANCEL_GRACE = 15.0
# Until a task's second event the worker imports libraries and loads the model, which a new
# process has to do anyway: nothing is lost by ending it soon.
LOADING_GRACE = 2.0

log = logging.getLogger(__name__)


class Worker(Protocol):
    """Where videos are made. One task at a time; `cancel` and `warm` may come from any thread."""

    def run(self, task: Task) -> Iterator[JobEvent]:
        """Yield the task's events; the last is Finished, Failed or Cancelled.

        Raises:
            WorkerDied: the process ended before the task did, or hung. The next `run` starts a new one.
        """

    def cancel(self, job_id: str) -> None:
        """Ask the task of this job to stop; nothing happens if it has ended."""

    def warm(self) -> None:
        """Get ready in the background, so that the first task starts sooner."""

    def close(self) -> None:
        """Stop for good, at once."""


class ProcessWorker:
    """A Worker in a child process which runs the recipe named `module:function`.

    The function takes the Settings and returns a `worker_process.Recipe`.

    Args:
        server: the name of this process in the ledger, by which its worker is known (see `runtime.orphans`).
    """

    def __init__(
        self, settings: Settings, recipe: str, *, cancel_grace: float = CANCEL_GRACE, server: str = ""
    ) -> None:
        self._settings, self._recipe, self._grace, self._server = settings, recipe, cancel_grace, server
        self._log_path = settings.logs_dir / "worker.log"
        self._child: Child | None = None
        self._ready: Child | None = None  # the one that has taken a task before
        self._starting = threading.Lock()
        self._closed = False
        self._wish = threading.Lock()  # guards the four below
        self._running: str | None = None
        self._seen = 0
        self._cancelled: set[str] = set()
        self._timer: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, if one is alive."""
        child = self._child
        return child.pid if child and child.alive else None

    def run(self, task: Task) -> Iterator[JobEvent]:
        """See Worker."""
        with self._wish:
            self._running, self._seen = task.job_id, 0
            unwanted = task.job_id in self._cancelled
        try:
            if unwanted:
                yield Cancelled()
                return
            if self.pid is None or self._child is not self._ready:
                yield Loading("Starting the worker")
            yield from self._events(task)
        finally:
            self._settle()

    def cancel(self, job_id: str) -> None:
        """See Worker."""
        with self._wish:
            self._cancelled.add(job_id)
            if job_id != self._running or self._timer is not None:
                return
            grace = self._grace if self._seen > 1 else min(LOADING_GRACE, self._grace)
            self._timer = threading.Timer(grace, self._end_unheeding, args=(job_id,))
            self._timer.daemon = True
            self._timer.start()
        child = self._child
        if child:
            with suppress(OSError):  # it died, which the reading side tells
                child.send(("cancel", job_id))

    def warm(self) -> None:
        """See Worker."""
        threading.Thread(target=self._warm, name="worker-warm", daemon=True).start()

    def close(self) -> None:
        """See Worker."""
        with self._starting:
            self._closed = True
            child, self._child = self._child, None
        if child:
            child.kill()

    def _events(self, task: Task) -> Iterator[JobEvent]:
        child = self._hand_over(task)
        while True:
            event = self._next(child, task)
            if event is None:  # a sign of life
                continue
            self._seen += 1
            yield event
            if isinstance(event, (Finished, Failed, Cancelled)):
                return

    def _hand_over(self, task: Task) -> Child:
        """Give the task to a living child and wait until it says that it took it.

        A child that died while idle is only noticed here, so a second one gets a try.
        """
        for last_try in (False, True):
            child = self._alive()
            try:
                child.send(("run", task))
                if task.job_id in self._cancelled:  # it came while no child was there to be told
                    child.send(("cancel", task.job_id))
                child.receive(task.patience)
                self._ready = child
            except Silent:
                raise self._hung(child, task) from None
            except (EOFError, OSError):
                if last_try or task.job_id in self._cancelled:
                    break
                child.kill()
                continue
            break
        return child

    def _next(self, child: Child, task: Task) -> JobEvent | None:
        """The child's next event, None for a sign of life; a cancel if it was wanted and the child is gone."""
        try:
            return child.receive(task.patience)[1]
        except Silent:
            raise self._hung(child, task) from None
        except EOFError:
            child.kill()
        if task.job_id in self._cancelled:
            return Cancelled()
        if self._closed:
            raise WorkerDied("The studio was closed while this job was running")
        raise WorkerDied(child.epitaph())

    def _hung(self, child: Child, task: Task) -> WorkerDied:
        """End a child that says nothing; the error to raise for it."""
        child.kill()
        with self._starting:
            if self._child is child:  # even if the system cannot end it, nobody waits for it any more
                self._child = None
        return WorkerDied(
            f"The worker process gave no sign of life for {task.patience:.0f} s and was ended; "
            f"its last words are in {self._log_path}"
        )

    def _end_unheeding(self, job_id: str) -> None:
        # Under the lock: a moment later the process may be at work for the next job.
        with self._wish:
            if self._running == job_id and self._child:
                self._child.begin_kill()

    def _settle(self) -> None:
        with self._wish:
            self._running = None
            self._cancelled.clear()
            if self._timer:
                self._timer.cancel()
            self._timer = None

    def _alive(self) -> Child:
        with self._starting:
            if self._closed:
                raise WorkerDied("The studio was closed before this job began")
            if self._child is None or not self._child.alive:
                self._child = Child(self._recipe, self._log_path, self._server)
                with suppress(OSError):  # it died at once, which whoever speaks to it next learns
                    self._child.send(self._settings)
            return self._child

    def _warm(self) -> None:
        try:
            self._alive().send(("warm", None))
        except (OSError, WorkerDied) as error:
            log.warning("The worker could not be warmed: %s", error)
