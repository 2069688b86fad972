"""What sharing keeps: the hash of the password, guest links, sessions. One SQLite file, its owner's only."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wan_app.errors import StorageError

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    key TEXT PRIMARY KEY, guest TEXT NOT NULL, expires REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS guests (
    id TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
    created REAL NOT NULL, expires REAL NOT NULL, revoked REAL,
    jobs INTEGER NOT NULL, seconds REAL NOT NULL, places INTEGER NOT NULL,
    used_jobs INTEGER NOT NULL DEFAULT 0, used_seconds REAL NOT NULL DEFAULT 0
);
"""


class Store:
    """Safe from several threads, and from several processes (the studio and the command line).

    Raises:
        StorageError: from every method, when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._guarded():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Before SQLite makes it, so that it is never readable for others, not even for a moment.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_TABLES)

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; what it returns."""
        with self._guarded():
            return self._db.execute(sql, values).fetchall()

    def change(self, sql: str, values: tuple[Any, ...] = ()) -> int:
        """Run one statement, which is a transaction of its own; how many rows it changed."""
        with self._guarded():
            return self._db.execute(sql, values).rowcount

    def fact(self, name: str) -> str | None:
        """A single value."""
        found = self.rows("SELECT value FROM facts WHERE name = ?", (name,))
        return found[0][0] if found else None

    def remember(self, name: str, value: str) -> None:
        """Keep a single value."""
        self.change("INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?2", (name, value))

    def secret(self) -> bytes:
        """What sessions are signed with; made once for this data folder."""
        self.change("INSERT OR IGNORE INTO facts VALUES ('secret', ?)", (secrets.token_hex(32),))
        return bytes.fromhex(self.fact("secret") or "")

    def close(self) -> None:
        """Give the file back."""
        with self._guarded():
            self._db.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (OSError, sqlite3.Error) as error:
            raise StorageError("data_dir", f"{self.path} ({error})", "a file that can be read and written") from error
