"""Checks of files (Verify), one at a time: each in a process of its own, with a limit of time.

Not a thread: decoders and parsers of strangers' bytes may hang or crash, and their arithmetic would hold up the
page of everybody; a process is ended, and what it had found until then counts. Nothing is stored: a check takes
seconds, and can be made again.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from wan_app import errors
from wan_app.errors import InvalidRequest, JobNotFound, WanAppError

log = logging.getLogger(__name__)

# Seconds after which a check ends with what it has, however long or large the file.
LIMIT = 120.0
_ROOT = Path(__file__).resolve().parents[2]
_MOST_WAITING, _MOST_OF_ONE = 20, 4
_KEPT = 200  # ended checks that can still be asked for
_LONGEST_LINE = 4_000_000  # characters of one answer

CheckState = Literal["waiting", "running", "finished", "failed", "cancelled"]
# Makes an answer of the parts found, and of the seconds it took.
Conclude = Callable[[Mapping[str, Any], float], Any]


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """A check as it stands. `found` are the names of the parts that came so far; `answer` what `conclude` made."""

    id: str
    owner: str
    state: CheckState = "waiting"
    found: tuple[str, ...] = ()
    answer: Any = None
    error: WanAppError | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("finished", "failed", "cancelled")


def reading(
    module: str, request: Mapping[str, Any], *, limit: float = LIMIT,
    stop: threading.Event | None = None, tell: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Run `python -m module` with a JSON request; the parts that it answered with, {name: value}, within `limit` s.

    A process that crashes or takes too long leaves what it had found.

    Args:
        stop: ends it early. tell: is called with the name of each part as it comes.
    Raises:
        InvalidRequest, WanAppError: what the process answered with.
        errors.Cancelled: `stop` was set.
    """
    parts: dict[str, Any] = {}
    with subprocess.Popen(
        [sys.executable, "-m", module], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True, encoding="utf-8", errors="replace",
    ) as process:
        assert process.stdin and process.stdout
        watch = threading.Thread(target=_watch, args=(process, limit, stop), name="check-watch", daemon=True)
        watch.start()
        try:
            with suppress(OSError):
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.close()
            while line := process.stdout.readline(_LONGEST_LINE):
                for name, value in _answer(line).items():
                    parts[name] = value
                    tell(name)
        finally:
            _end(process)
    if stop is not None and stop.is_set():
        raise errors.Cancelled
    if said := parts.get("error"):
        raise InvalidRequest(**said) if "field" in said else WanAppError(said["message"])
    return parts


class Checks:
    """The checks of this process, by id; one runs, the others wait. All methods are thread-safe.

    Args:
        module: what reads a file, as `reading` runs it.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._changed = threading.Condition()
        self._views: OrderedDict[str, CheckView] = OrderedDict()
        self._stops: dict[str, threading.Event] = {}
        # Decoding and arithmetic fill a core each: more at once would not be sooner done.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="check")

    def start(self, owner: str, request: Mapping[str, Any], conclude: Conclude) -> CheckView:
        """Put a check in line.

        Raises:
            InvalidRequest: too many wait.
        """
        with self._changed:
            living = [one for one in self._views.values() if not one.ended]
            if len(living) >= _MOST_WAITING or sum(one.owner == owner for one in living) >= _MOST_OF_ONE:
                raise InvalidRequest("file", f"{len(living)} checks that wait already", "a moment's patience")
            view = CheckView(id=secrets.token_hex(8), owner=owner)
            self._views[view.id], self._stops[view.id] = view, threading.Event()
            for ended in [key for key, one in self._views.items() if one.ended][: max(0, len(self._views) - _KEPT)]:
                del self._views[ended]
        self._pool.submit(self._run, view.id, request, conclude)
        return view

    def view(self, check_id: Any, owner: str) -> CheckView:
        """A check as it stands. Raises JobNotFound, also for another owner's."""
        with self._changed:
            view = self._views.get(check_id) if isinstance(check_id, str) else None
        if view is None or view.owner != owner:
            raise JobNotFound("check: got one that is not known here (any more); needed a new one")
        return view

    def before(self, check_id: str) -> int:
        """How many come before it."""
        with self._changed:
            living = [key for key, one in self._views.items() if not one.ended]
        return living.index(check_id) if check_id in living else 0

    def wait(self, check_id: str, owner: str) -> CheckView:
        """The check when it has ended. Raises JobNotFound."""
        with self._changed:
            while not (view := self.view(check_id, owner)).ended:
                self._changed.wait(1.0)
        return view

    def cancel(self, check_id: str, owner: str) -> None:
        """Stop a check; nothing happens to one that has ended. Raises JobNotFound."""
        self.view(check_id, owner)
        with self._changed:
            if stop := self._stops.get(check_id):
                stop.set()
                if self._views[check_id].state == "waiting":
                    self._become(check_id, state="cancelled")

    def close(self) -> None:
        """Stop them all."""
        with self._changed:
            for stop in self._stops.values():
                stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, check_id: str, request: Mapping[str, Any], conclude: Conclude) -> None:
        began, stop = time.monotonic(), self._stops[check_id]
        try:
            if stop.is_set():
                raise errors.Cancelled
            self._become(check_id, state="running")
            parts = reading(self._module, request, stop=stop, tell=lambda name: self._note(check_id, name))
            self._become(check_id, state="finished", answer=conclude(parts, time.monotonic() - began))
        except errors.Cancelled:
            self._become(check_id, state="cancelled")
        except WanAppError as error:
            self._become(check_id, state="failed", error=error)
        except Exception as error:
            log.exception("a check failed")
            self._become(check_id, state="failed", error=WanAppError(f"The check failed ({type(error).__name__})"))
        finally:
            with self._changed:
                self._stops.pop(check_id, None)

    def _note(self, check_id: str, name: str) -> None:
        with self._changed:
            view = self._views.get(check_id)
            if view and name not in view.found:
                self._become(check_id, found=(*view.found, name))

    def _become(self, check_id: str, **changes: Any) -> None:
        with self._changed:
            if view := self._views.get(check_id):
                self._views[check_id] = replace(view, **changes)
            self._changed.notify_all()


def _watch(process: subprocess.Popen[str], limit: float, stop: threading.Event | None) -> None:
    """End a process at its limit, or when it is told to stop."""
    until = time.monotonic() + limit
    while process.poll() is None:
        if time.monotonic() > until or (stop is not None and stop.is_set()):
            _end(process)
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)


def _end(process: subprocess.Popen[str]) -> None:
    """It and the decoders that it started: one that draws nothing would not notice that nobody listens."""
    if process.poll() == 0:
        return
    if sys.platform != "win32":
        with suppress(OSError):  # its session is gone
            os.killpg(process.pid, signal.SIGKILL)
        return
    with suppress(psutil.Error):
        for one in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                one.kill()
    process.kill()


def _answer(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:  # the process was ended in the middle of it
        return {}
    return found if isinstance(found, dict) else {}
