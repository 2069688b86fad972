"""The killed studio as the storm holds it: starts it again whenever it is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import psutil

from wan_app.settings import Settings


class Gone(Exception):
    """The server was killed before it answered."""


class Studio:
    """One data folder and the server process on it, if one lives."""

    def __init__(self, settings: Settings, recipe: str, stall: float) -> None:
        self.settings, self._recipe, self._stall = settings, recipe, stall
        self._process: subprocess.Popen[str] | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """Of the living server, which is started if there is none."""
        if self._process is None or self._process.poll() is not None:
            self.starts += 1
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.server", str(self.settings.data_dir), self._recipe,
                 str(self._stall)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )
        return self._process.pid

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """The server's answer. Raises Gone."""
        assert self.pid and self._process and self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError) as error:
            raise Gone from error
        if not line:
            raise Gone
        return json.loads(line)

    def worker(self) -> int | None:
        """Process id of the server's worker, if it has one now."""
        with suppress(psutil.Error):
            children = psutil.Process(self.pid).children()
            return next((one.pid for one in children if "worker_process" in " ".join(one.cmdline())), None)
        return None

    def signal(self, pid: int | None, number: int) -> bool:
        """Send a signal to a process of ours; False if there is none any more."""
        with suppress(OSError):
            if pid is not None:
                os.kill(pid, number)
                return True
        return False

    def kill(self) -> None:
        """SIGKILL the server."""
        if self._process:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    assert pipe
                    pipe.close()

    def close(self) -> None:
        """End the server in good order, as Ctrl+C would."""
        if self._process and self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
