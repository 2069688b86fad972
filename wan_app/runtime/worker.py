"""The worker seen from the server: a process of its own which makes one video at a time.

Messages are pickles over the child's stdin and stdout, which works alike on every system. It is
a plain subprocess and not `multiprocessing`, whose children import the parent's main module
first, and with it all of gradio.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from wan_app.devices import cores
from wan_app.errors import WorkerDied
from wan_app.runtime.job import Task
from wan_app.settings import Settings
from wan_app.types import Cancelled, Failed, Finished, JobEvent, Loading

_ROOT = Path(__file__).resolve().parents[2]
_LOG_LIMIT = 1_000_000
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
            WorkerDied: the process ended before the task did. The next `run` starts a new one.
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
    """

    def __init__(self, settings: Settings, recipe: str, *, cancel_grace: float = CANCEL_GRACE) -> None:
        self._settings, self._recipe, self._grace = settings, recipe, cancel_grace
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: subprocess.Popen[bytes] | None = None  # the one that has taken a task before
        self._starting = threading.Lock()
        self._sending = threading.Lock()
        self._closed = False
        self._wish = threading.Lock()  # guards the four below
        self._running: str | None = None
        self._seen = 0
        self._cancelled: set[str] = set()
        self._timer: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, if one is alive."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def run(self, task: Task) -> Iterator[JobEvent]:
        """See Worker."""
        with self._wish:
            self._running, self._seen = task.job_id, 0
            unwanted = task.job_id in self._cancelled
        try:
            if unwanted:
                yield Cancelled()
                return
            if self.pid is None or self._process is not self._ready:
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
        process = self._process
        if process:
            with suppress(OSError):  # it died, which the reading side tells
                self._send(process, ("cancel", job_id))

    def warm(self) -> None:
        """See Worker."""
        threading.Thread(target=self._warm, name="worker-warm", daemon=True).start()

    def close(self) -> None:
        """See Worker."""
        with self._starting:
            self._closed = True
            process, self._process = self._process, None
        if process:
            _kill(process)

    def _events(self, task: Task) -> Iterator[JobEvent]:
        process = self._hand_over(task)
        while True:
            try:
                _, event = _receive(process)
            except EOFError:
                event = self._ended_without(process, task)
            self._seen += 1
            yield event
            if isinstance(event, (Finished, Failed, Cancelled)):
                return

    def _hand_over(self, task: Task) -> subprocess.Popen[bytes]:
        """Give the task to a living child and wait until it says that it took it.

        A child that died while idle is only noticed here, so a second one gets a try.
        """
        for last_try in (False, True):
            process = self._alive()
            try:
                self._send(process, ("run", task))
                if task.job_id in self._cancelled:  # it came while no child was there to be told
                    self._send(process, ("cancel", task.job_id))
                _receive(process)
                self._ready = process
            except (EOFError, OSError):
                if last_try or task.job_id in self._cancelled:
                    break
                _kill(process)
                continue
            break
        return process

    def _ended_without(self, process: subprocess.Popen[bytes], task: Task) -> JobEvent:
        """The last event of a task whose process is gone."""
        _kill(process)
        if task.job_id in self._cancelled:
            return Cancelled()
        if self._closed:
            raise WorkerDied("The studio was closed while this job was running")
        raise WorkerDied(_epitaph(process.returncode, self._settings.logs_dir / "worker.log"))

    def _end_unheeding(self, job_id: str) -> None:
        # Under the lock: a moment later the process may be at work for the next job.
        with self._wish:
            if self._running == job_id and self._process:
                self._process.kill()

    def _settle(self) -> None:
        with self._wish:
            self._running = None
            self._cancelled.clear()
            if self._timer:
                self._timer.cancel()
            self._timer = None

    def _alive(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._closed:
                raise WorkerDied("The studio was closed before this job began")
            if self._process is None or self._process.poll() is not None:
                self._process = self._start()
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        threads = str(cores())
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        # Set before torch loads: by itself it takes half of the logical cores.
        # Threads that wait by spinning take 20 times as long beside anything else that runs (measured: 20-40 s
        # a clip instead of 1), a browser that plays a video for one.
        env = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path}
        with _log_file(self._settings.logs_dir / "worker.log") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "wan_app.runtime.worker_process", self._recipe],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env,
                # A session of its own, so that Ctrl+C in a terminal reaches the server only.
                start_new_session=True,
            )
        self._send(process, self._settings)
        return process

    def _send(self, process: subprocess.Popen[bytes], message: Any) -> None:
        assert process.stdin is not None
        with self._sending:
            pickle.dump(message, process.stdin)
            process.stdin.flush()

    def _warm(self) -> None:
        try:
            self._send(self._alive(), ("warm", None))
        except (OSError, WorkerDied) as error:
            log.warning("The worker could not be warmed: %s", error)


def _receive(process: subprocess.Popen[bytes]) -> Any:
    """The child's next message. Raises EOFError when it is gone."""
    assert process.stdout is not None
    try:
        return pickle.load(process.stdout)
    except (OSError, pickle.UnpicklingError) as error:
        raise EOFError from error


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _log_file(path: Path) -> Any:
    """The worker's log opened for appending; started anew when it has grown long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    long = path.exists() and path.stat().st_size > _LOG_LIMIT
    return path.open("wb" if long else "ab")


def _epitaph(returncode: int | None, log_path: Path) -> str:
    if returncode == -9:
        return (
            "The worker process was killed (signal 9), which the system does when memory runs out; "
            "a smaller size or fewer seconds may fit"
        )
    how = f"signal {-returncode}" if returncode is not None and returncode < 0 else f"exit code {returncode}"
    return f"The worker process ended unexpectedly ({how}); its last words are in {log_path}"
