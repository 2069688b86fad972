"""Which server processes are alive: each holds a lock on a small file while it lives.

A lock, not a process id: the system drops it however the process ends (kill -9 too), ids are
reused, and containers sharing a data folder see different ids.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import IO

from wan_app.errors import StorageError


class Lifeline:
    """This process's sign of life under `folder`; `token` is the name others know it by."""

    def __init__(self, folder: Path) -> None:
        self.token = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._path = folder / f"{self.token}.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        except OSError as error:
            raise StorageError("data_dir", str(error), "a folder that can be written") from error
        _lock(self._file)

    def close(self) -> None:
        """Give the sign back."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def is_alive(folder: Path, token: str) -> bool:
    """Whether the process behind `token` lives; the file of a dead one is removed."""
    path = folder / f"{token}.lock"
    try:
        with path.open("r+b") as file:
            if not _lock(file):
                return True
    except FileNotFoundError:
        return False
    path.unlink(missing_ok=True)
    return False


def _lock(file: IO[bytes]) -> bool:
    """Take the lock without waiting; False when another holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
