"""What the library remembers beside the ledger: pins, people, the space that videos may take. One SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wan_app.errors import StorageError

_TABLES = """
CREATE TABLE IF NOT EXISTS pins (job TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS people (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    faces TEXT NOT NULL,
    voice TEXT,
    consent TEXT NOT NULL,
    created TEXT NOT NULL,
    UNIQUE (owner, folded)
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """Opened on first use. Safe from several threads and several processes (WAL).

    Raises:
        StorageError: from every method, when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What a SELECT finds."""
        with self._opened() as db:
            return db.execute(statement, values).fetchall()

    def change(self, statement: str, values: tuple[Any, ...] = ()) -> int:
        """Run a statement that is a transaction of its own; how many rows it changed."""
        with self._opened() as db:
            return db.execute(statement, values).rowcount

    def pinned(self) -> set[str]:
        """Ids of all pinned jobs."""
        return {row[0] for row in self.rows("SELECT job FROM pins")}

    def pin(self, job_id: str, pinned: bool) -> None:
        """Pin a job or let it go."""
        if pinned:
            self.change("INSERT OR IGNORE INTO pins (job) VALUES (?)", (job_id,))
        else:
            self.change("DELETE FROM pins WHERE job = ?", (job_id,))

    def fact(self, name: str) -> str | None:
        """A remembered value."""
        found = self.rows("SELECT value FROM facts WHERE name = ?", (name,))
        return found[0][0] if found else None

    def remember(self, name: str, value: str) -> None:
        """Keep a value under a name."""
        self.change("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db:
                self._db.close()
            self._db = None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                if self._db is None:
                    self._db = _open(self.path)
                yield self._db
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise StorageError(
                "data_dir", f"{error} at {self.path}", "a folder that can be written, with free space"
            ) from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(_TABLES)
    return db
