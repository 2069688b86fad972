"""A file of JSON lines that only grows, each line bound to the one before; several processes may write it.

Every record holds `previous`, the hash of the record before, and `hash`, that of itself without it. So
a line that is changed, moved, added or taken out in the middle shows. What is cut off at the end shows by
the file beside it (`.head`), which holds the number of records and the last hash. Whoever can write to the
folder can still make the whole chain anew: it is evidence of care, not proof against its keeper. But ids
are beginnings of hashes, and videos carry them: a record made anew is no longer the one they name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from filelock import FileLock, Timeout

from wan_app.errors import StorageError

Record = dict[str, Any]
_START = "0" * 64
_ID_DIGITS = 20  # of a record's hash: 80 bits, as a job's id
_WAIT = 30.0  # seconds for another process to write a line
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)  # else Windows would write \r\n


class Chain:
    """The records of `file`. Thread-safe."""

    def __init__(self, file: Path) -> None:
        self.file = Path(file)
        self._head = self.file.with_suffix(".head")
        self._mutex = Lock()
        self._records: list[Record] = []
        self._last, self._offset = _START, 0  # hash and end of the last record read

    def records(self) -> list[Record]:
        """All records, oldest first; only those that came since the last look are read and verified.

        Raises:
            StorageError: naming `consent`: the file was changed by other hands, or cannot be read.
        """
        with self._mutex, self._guarded():
            self._refresh()
            return list(self._records)

    def check(self) -> int:
        """Verify every record from the first one on; how many there are. Raises as `records`."""
        with self._mutex, self._guarded():
            self._forget()
            self._refresh()
            return len(self._records)

    @contextmanager
    def writing(self) -> Iterator[tuple[list[Record], Callable[[Record], Record]]]:
        """The records, and a function that adds one and returns it as written; nobody else writes meanwhile.

        Raises:
            StorageError: as `records`; or the disk refuses.
        """
        with self._mutex, self._guarded():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.file.with_suffix(".lock"), timeout=_WAIT, mode=0o600):
                self._refresh()
                yield list(self._records), self._append

    def _append(self, record: Record) -> Record:
        body = {**record, "previous": self._last}
        digest = _digest(body)
        line = json.dumps({"id": digest[:_ID_DIGITS], **body, "hash": digest}, ensure_ascii=True).encode() + b"\n"
        with os.fdopen(os.open(self.file, _OPEN, 0o600), "r+b") as file:
            # Behind the last whole line: what stands there is a line that was cut short by a power cut,
            # of which nobody was told.
            file.seek(self._offset)
            file.truncate()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._take(line)
        self._write_head()
        return self._records[-1]

    def _write_head(self) -> None:
        part = self._head.with_suffix(".part")
        with part.open("w", encoding="ascii") as file:
            file.write(f"{len(self._records)} {self._last}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self._head)

    def _refresh(self) -> None:
        # The head before and after: lines may come in between.
        least = self._read_head()
        if (self.file.stat().st_size if self.file.exists() else 0) < self._offset:
            self._forget()
        if self.file.exists():
            with self.file.open("rb") as file:
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):  # still being written, or never finished
                        break
                    self._take(line)
        self._compare(least, self._read_head())

    def _take(self, line: bytes) -> None:
        number = len(self._records) + 1
        try:
            record = json.loads(line)
            body = {name: value for name, value in record.items() if name not in ("id", "hash")}
            digest = _digest(body)
            whole = (record["id"], record["hash"], record["previous"]) == (digest[:_ID_DIGITS], digest, self._last)
        except (ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise self._changed(f"line {number} is not as it was written")
        self._records.append(record)
        self._last, self._offset = digest, self._offset + len(line)

    def _compare(self, before: tuple[int, str], after: tuple[int, str]) -> None:
        """The chain must hold what the head names, and little more."""
        count, digest = before
        if count > len(self._records):
            raise self._changed(f"{count - len(self._records)} lines at its end are gone")
        if count and self._records[count - 1]["hash"] != digest:
            raise self._changed(f"line {count} is not the one that was written")
        # The head is one behind if the power was cut between the two; never more.
        if len(self._records) > after[0] + 1:
            raise self._changed("its end is not known to the file beside it")

    def _read_head(self) -> tuple[int, str]:
        """Number of records and the hash of the last one, as far as the file beside it knows."""
        try:
            count, digest = self._head.read_text(encoding="ascii").split()
            return int(count), digest
        except FileNotFoundError:
            return 0, _START
        except ValueError:
            raise self._changed("the file beside it cannot be read") from None

    def _changed(self, what: str) -> StorageError:
        return StorageError(
            "consent", f"a record of consent that was changed by other hands ({self.file.name}: {what})",
            "the file as it was, from a copy; or move it and its .head away to begin a new one, "
            "in which nothing that was withdrawn is known",
        )

    def _forget(self) -> None:
        self._records, self._last, self._offset = [], _START, 0

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Timeout:
            got = f"{self.file.name}, which another process holds"
            raise StorageError("consent", got, "a moment's patience") from None
        except OSError as error:
            self._forget()
            reason = error.strerror or str(error)
            got, needed = f"{self.file.name} ({reason})", "a data folder that can be written to"
            raise StorageError("consent", got, needed) from error


def _digest(body: Record) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

