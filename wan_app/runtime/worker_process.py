"""The worker's own side: a process that waits for tasks on stdin and answers on stdout.

Run as `python -m wan_app.runtime.worker_process module:function`. The main thread makes videos;
a listener thread takes cancels, and ends the process when the server is gone.
"""

from __future__ import annotations

import errno
import faulthandler
import gc
import importlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

from wan_app import errors
from wan_app.devices import is_out_of_memory
from wan_app.runtime import receipts
from wan_app.runtime.job import Task
from wan_app.types import (
    Cancelled,
    Failed,
    Finished,
    GenerationRequest,
    GenerationResult,
    JobEvent,
    Reporter,
    Step,
)

# How long an orphan may take to clean up (temporary files beside an output) before it is ended.
_ORPHAN_GRACE = 5.0
# How often a task that reaches its cancel points, but has nothing to tell, gives a sign of life.
_PULSE = 2.0


class Recipe(Protocol):
    """What the worker runs; made once by the function named on the command line."""

    def warm(self) -> None:
        """Load what the first task will most likely need."""

    def run(self, task: Task, report: Reporter) -> GenerationResult:
        """Make the video of a task. Raises errors.WanAppError, errors.Cancelled or anything."""


class Inbox:
    """Messages from the server, read by a thread of its own."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._work: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._orphaned = threading.Event()
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def get(self) -> tuple[str, Any]:
        """The next piece of work, waiting for it: ("run", Task), ("warm", None), ("end", None)."""
        return self._work.get()

    def unwanted(self, job_id: str) -> bool:
        """Whether the job was cancelled, or nobody is left who wants it."""
        return job_id in self._cancelled or self._orphaned.is_set()

    def _listen(self) -> None:
        while True:
            try:
                kind, value = pickle.load(self._stream)
            except (EOFError, OSError, pickle.UnpicklingError):
                break
            if kind == "cancel":
                self._cancelled.add(value)
            else:
                self._work.put((kind, value))
        # The server is gone. A pipe's end tells this on every system and also when only the
        # thread that started us ended, where Linux's parent-death signal would kill too early.
        self._orphaned.set()
        self._work.put(("end", None))
        time.sleep(_ORPHAN_GRACE)
        os._exit(0)


class Pace:
    """How long what comes after the last step takes, learned from the jobs before.

    Seconds per pixel and frame, by model: decoding and writing grow with both.
    """

    def __init__(self) -> None:
        self._rate: dict[str | None, float] = {}

    def tail(self, request: GenerationRequest) -> float:
        """Expected seconds from the last step to the end; 0.0 for a model not seen yet."""
        return self._rate.get(request.model, 0.0) * _volume(request)

    def learn(self, request: GenerationRequest, tail: float) -> None:
        """Remember what a finished job took from its last step to its end; sound alone tells nothing of videos."""
        if not request.sound_only:
            self._rate[request.model] = tail / _volume(request)


class ProcessReporter:
    """The Reporter of one task: sends events to the server, signs of life (None) between them, and notices
    a cancel.

    Args:
        tail: expected seconds from the last step to the end of the job.
        windows: see types.Reporter.
    """

    def __init__(
        self, send: Callable[[JobEvent | None], None], unwanted: Callable[[], bool], tail: float = 0.0,
        windows: Path | None = None,
    ) -> None:
        self._send, self._unwanted, self._tail, self.windows = send, unwanted, tail, windows
        self._signed = time.monotonic()
        self._first: tuple[int, float] | None = None
        self.last_step: float | None = None

    def __call__(self, event: JobEvent) -> None:
        self._signed = time.monotonic()  # an event is one, too
        self.check()
        self._send(self._with_eta(event) if isinstance(event, Step) else event)

    def check(self) -> None:
        """See types.Reporter."""
        if self._unwanted():
            raise errors.Cancelled
        if (moment := time.monotonic()) - self._signed > _PULSE:
            self._signed = moment
            self._send(None)

    def _with_eta(self, step: Step) -> Step:
        """The step with an ETA from the pace since the first one, unless the pipeline gave one."""
        moment = self.last_step = time.monotonic()
        if self._first is None or step.index <= self._first[0]:
            self._first = (step.index, moment)
            return step
        pace = (moment - self._first[1]) / (step.index - self._first[0])
        left = pace * (step.total - step.index) + self._tail
        return replace(step, eta=left) if step.eta is None else step


def run_task(recipe: Recipe, task: Task, report: Reporter) -> JobEvent:
    """Run one task to its last event; nothing but the process's death gets past this."""
    try:
        report.check()
        result = recipe.run(task, report)
        if task.receipt:
            receipts.write(task.receipt, result)
        return Finished(result)
    except errors.Cancelled:
        return Cancelled()
    except BaseException as error:
        failure = describe_failure(error, task)
        if failure is not error:
            _write_traceback(task)
        return Failed(str(failure), type(failure).__name__, failure.exit_code)


def describe_failure(error: BaseException, task: Task) -> errors.WanAppError:
    """The error as the user is told it: our own as they are, others in one line."""
    if is_out_of_memory(error):
        reason = " ".join(str(error).split())[:160] or "no memory left"
        return errors.OutOfMemory(
            f"Out of memory while making {task.request.width}x{task.request.height}, "
            f"{task.request.num_frames} frames with {task.request.model} ({reason}); "
            "a smaller size or fewer seconds needs less"
        )
    if isinstance(error, errors.WanAppError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" at {error.filename}" if error.filename else ""
        return errors.StorageError("disk", f"{error.strerror}{where}", "free space")
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return errors.WanAppError(f"{task.request.model} failed with {what}; details are in {task.log}")


class Service:
    """Takes messages one by one until the server is gone."""

    def __init__(self, inbox: Inbox, stdout: IO[bytes], open_recipe: Callable[[], Recipe]) -> None:
        self._inbox, self._stdout, self._open = inbox, stdout, open_recipe
        self._sending = threading.Lock()
        self._recipe: Recipe | None = None
        self._pace = Pace()

    def run(self) -> None:
        """Return when the server is gone."""
        while True:
            kind, task = self._inbox.get()
            if kind == "end":
                return
            with suppress(errors.Cancelled):  # nobody is left who wants the answer
                if kind == "warm":
                    self._warm()
                else:
                    self._make(task)
            # After the answer, off the user's clock: a failed or cancelled run leaves cycles behind.
            gc.collect()

    def _warm(self) -> None:
        try:
            self._opened().warm()
        except Exception:
            traceback.print_exc()  # the first task will meet the same error, and tell the user

    def _make(self, task: Task) -> None:
        send, request = partial(self._send, task.job_id), task.request
        send(None)  # taken
        try:
            recipe = self._opened()
        except Exception as error:
            _write_traceback(task)
            send(Failed(f"The worker could not start ({error}); details are in {task.log}"))
            return
        unwanted = partial(self._inbox.unwanted, task.job_id)
        report = ProcessReporter(send, unwanted, self._pace.tail(request), task.windows)
        ending = run_task(recipe, task, report)
        send(ending)
        if isinstance(ending, Finished) and report.last_step is not None:
            self._pace.learn(request, time.monotonic() - report.last_step)

    def _opened(self) -> Recipe:
        self._recipe = self._recipe or self._open()
        return self._recipe

    def _send(self, job_id: str, event: JobEvent | None) -> None:
        try:
            with self._sending:  # a library's own thread may reach a cancel point
                pickle.dump((job_id, event), self._stdout)
                self._stdout.flush()
        except OSError:
            raise errors.Cancelled from None


def main() -> None:
    """Serve tasks until the server is gone."""
    for name in ("SIGTERM", "SIGHUP"):
        # Service managers send these to every process; the server alone decides, or a restart of the service
        # would look as if this job had killed its worker.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    faulthandler.enable()  # a segmentation fault leaves a stack in the worker's log
    stdin, stdout = _take_pipes()
    settings = pickle.load(stdin)
    Service(Inbox(stdin), stdout, partial(_open, sys.argv[1], settings)).run()
    # Without Python's farewell, which would flush into a pipe that nobody reads.
    os._exit(0)


def _volume(request: GenerationRequest) -> int:
    """Pixels times frames."""
    return max(1, (request.width or 1) * (request.height or 1) * (request.num_frames or 1))


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Our two pipes under private numbers; what libraries print on stdout goes to stderr instead."""
    stdin = os.fdopen(os.dup(0), "rb")
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return stdin, stdout


def _open(name: str, settings: Any) -> Recipe:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)(settings)


def _write_traceback(task: Task) -> None:
    try:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        with task.log.open("a") as log:
            traceback.print_exc(file=log)
    except OSError:
        traceback.print_exc()  # to stderr, which is the worker's log


if __name__ == "__main__":
    main()
