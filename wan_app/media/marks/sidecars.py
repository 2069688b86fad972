"""What is kept here of every file made, by watermark id: so that a file which lost its credentials
(any re-encoding drops them) leads back to them by its watermark.

    sidecars/ID.c2pa   the manifest store as it was signed, which other C2PA tools read too
    sidecars/ID.json   what it is about: time, model, file name, sha256 of the whole file
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_app.media.storage import storage_error, write_atomically

_FIELD = "data_dir"
_STALE = 3600.0  # seconds; a part file so old is of a process that was killed while it wrote


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """`record` is the JSON, `store` the bytes of the C2PA manifest store."""

    watermark_id: str
    record: dict[str, Any]
    store: bytes


@contextmanager
def kept(folder: Path, watermark_id: str, record: dict[str, Any], store: bytes) -> Iterator[None]:
    """Write a sidecar, before the file that it is about gets its name; gone again if that fails.

    Raises:
        StorageError: it cannot be written; nothing is left.
    """
    files = folder / f"{watermark_id}.c2pa", folder / f"{watermark_id}.json"
    text = json.dumps({"watermark_id": watermark_id, **record}, indent=2, ensure_ascii=False)
    try:
        _make(folder)
        write_atomically(files[0], store, _FIELD)
        write_atomically(files[1], text.encode(), _FIELD)
        yield
    except BaseException:
        for file in files:
            with suppress(OSError):
                file.unlink(missing_ok=True)
        raise


def remove(folder: Path, watermark_id: str) -> None:
    """Forget a file that was deleted: its mark, should a copy turn up, leads nowhere any more."""
    if _is_hex(watermark_id, 10):
        for suffix in (".json", ".c2pa"):
            (folder / f"{watermark_id}{suffix}").unlink(missing_ok=True)


def is_taken(folder: Path, watermark_id: str) -> bool:
    """Whether a file made here has this id."""
    return (folder / f"{watermark_id}.c2pa").exists()


def find(folder: Path, watermark_id: str) -> Sidecar | None:
    """The sidecar of a watermark id of 10 hex digits; None if there is none, or none that can be read."""
    if not _is_hex(watermark_id, 10):  # it may have been read from a stranger's file
        return None
    try:
        record = json.loads((folder / f"{watermark_id}.json").read_text(encoding="utf-8"))
        store = (folder / f"{watermark_id}.c2pa").read_bytes()
    except (OSError, ValueError):
        return None
    return Sidecar(watermark_id=watermark_id, record=record, store=store) if isinstance(record, dict) else None


def find_by_sound(folder: Path, id_low: str) -> list[Sidecar]:
    """The sidecars of files whose sound carries this id: 8 hex digits, the low ones of the file's id."""
    if not _is_hex(id_low, 8):
        return []
    found = (find(folder, file.stem) for file in sorted(folder.glob(f"??{id_low}.json")))
    return [one for one in found if one]


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and all(char in "0123456789abcdef" for char in text)


def _make(folder: Path) -> None:
    """The folder is there, and holds no parts of dead processes."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(_FIELD, folder, error) from error
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _STALE:
                part.unlink()
