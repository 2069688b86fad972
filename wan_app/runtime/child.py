"""The worker's process as its server holds it: a pipe to it, a thread that hears it, and how it ended."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from wan_app.devices import cores

_ROOT = Path(__file__).resolve().parents[2]
_LOG_LIMIT = 1_000_000
# How long a killed process may take to be gone; one that a driver holds back may never be.
_BURIAL = 10.0


class Silent(Exception):
    """The process lives and says nothing."""


class Child:
    """A child process that runs the recipe named `module:function`.

    Args:
        log_path: takes what the child and its libraries print.
        server: stands on the child's command line, for those who look for it when this process is dead.
    """

    def __init__(self, recipe: str, log_path: Path, server: str = "") -> None:
        self._log_path = log_path
        with _log_file(log_path) as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wan_app.runtime.worker_process", recipe, server],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=_environment(),
                # A session of its own, so that Ctrl+C in a terminal reaches the server only.
                start_new_session=True,
            )
        self._sending = threading.Lock()
        # Heard by a thread of its own: a read from a process that a driver holds back never returns.
        self._heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._hear, name="worker-ear", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Any) -> None:
        """Give it a message. Raises OSError when it is gone."""
        assert self._process.stdin is not None
        with self._sending:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def receive(self, patience: float) -> Any:
        """Its next message.

        Seconds are counted in small steps, none longer than it should be: a laptop that slept, or a server that
        was halted together with its worker, is no silence.

        Raises:
            EOFError: it is gone.
            Silent: it said nothing for `patience` seconds.
        """
        tick, silent = min(1.0, patience / 4), 0.0
        while silent < patience:
            try:
                message = self._heard.get(timeout=tick)
            except queue.Empty:
                silent += tick
                continue
            if message is EOFError:
                self._heard.put(EOFError)  # for whoever asks again
                raise EOFError
            return message
        raise Silent

    def kill(self) -> None:
        """End it, and wait until it is gone."""
        self.begin_kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_BURIAL)

    def begin_kill(self) -> None:
        """End it without waiting."""
        self._process.kill()

    def epitaph(self) -> str:
        """How it ended, for people."""
        code = self._process.returncode
        if code == -9:
            return (
                "The worker process was killed (signal 9), which the system does when memory runs out; "
                "a smaller size or fewer seconds may fit"
            )
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"The worker process ended unexpectedly ({how}); its last words are in {self._log_path}"

    def _hear(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            with suppress(EOFError, OSError, pickle.UnpicklingError), stdout:
                while True:
                    self._heard.put(pickle.load(stdout))
        finally:
            self._heard.put(EOFError)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    # Set before torch loads: by itself it takes half of the logical cores.
    # Threads that wait by spinning take 20 times as long beside anything else that runs (measured: 20-40 s
    # a clip instead of 1), a browser that plays a video for one.
    return {"OMP_NUM_THREADS": str(cores()), "OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path}


def _log_file(path: Path) -> Any:
    """The worker's log opened for appending; started anew when it has grown long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    long = path.exists() and path.stat().st_size > _LOG_LIMIT
    return path.open("wb" if long else "ab")
