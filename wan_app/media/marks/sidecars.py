"""What is kept here of every file made, by watermark id: so that a file which lost its credentials
(any re-encoding drops them) leads back to them by its watermark.

    sidecars/ID.c2pa   the manifest store as it was signed, which other C2PA tools read too
    sidecars/ID.json   what it is about: time, model, file name, sha256 of the whole file
    sidecars/.ID.pending   while a file is given its name: where it goes

A sidecar is there before its file, so that no file is without one. Whoever is killed in between leaves a sidecar of
a file that never was, and its .pending, by which alone it is told from the others: that the ledger knows nothing of
an id means nothing, for the row of a file that somebody named may be removed, and a ledger lost, while copies of the
file go on leading here.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_app.media.storage import storage_error, write_atomically

_FIELD = "data_dir"
_STALE = 3600.0  # seconds; a part file or a .pending so old is of a process that was killed while it wrote


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """`record` is the JSON, `store` the bytes of the C2PA manifest store."""

    watermark_id: str
    record: dict[str, Any]
    store: bytes


@contextmanager
def kept(folder: Path, watermark_id: str, record: dict[str, Any], store: bytes, out: Path) -> Iterator[None]:
    """Write a sidecar, before the file that it is about gets its name `out`; gone again if that fails.

    Args:
        record: with the `sha256` of the file, see `digest`.
    Raises:
        StorageError: it cannot be written; nothing is left.
    """
    pending, sidecar, about = _files(folder, watermark_id)
    text = json.dumps({"watermark_id": watermark_id, **record}, indent=2, ensure_ascii=False)
    try:
        _make(folder)
        write_atomically(pending, os.fsencode(out.absolute()), _FIELD)
        write_atomically(sidecar, store, _FIELD)
        write_atomically(about, text.encode(), _FIELD)
        yield
    except BaseException:
        _remove(sidecar, about, pending)
        raise
    _remove(pending)


def remove(folder: Path, watermark_id: str) -> None:
    """Forget a file that was deleted: its mark, should a copy turn up, leads nowhere any more."""
    if _is_hex(watermark_id, 10):
        for file in _files(folder, watermark_id):
            file.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Remove what processes left that were killed in the act, and is old; the number of sidecars that went."""
    for part in filter(_stale, folder.glob(".*.part")):
        _remove(part)
    orphans = 0
    for pending in filter(_stale, folder.glob(".*.pending")):
        watermark_id = pending.stem[1:]
        if not _delivered(pending, find(folder, watermark_id)):
            _, sidecar, about = _files(folder, watermark_id)
            _remove(sidecar, about)
            orphans += 1
        _remove(pending)
    return orphans


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


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
    """The folder is there, and holds nothing of dead processes."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(_FIELD, folder, error) from error
    sweep(folder)


def _files(folder: Path, watermark_id: str) -> tuple[Path, Path, Path]:
    """(.pending, .c2pa, .json) of an id."""
    return folder / f".{watermark_id}.pending", folder / f"{watermark_id}.c2pa", folder / f"{watermark_id}.json"


def _delivered(pending: Path, one: Sidecar | None) -> bool:
    """Whether the file that a sidecar is about got its name: a later try may have put another one there."""
    try:
        out = Path(os.fsdecode(pending.read_bytes()))
        return one is not None and digest(out) == one.record.get("sha256")
    except (OSError, ValueError):
        return False


def _stale(file: Path) -> bool:
    try:
        return time.time() - file.stat().st_mtime > _STALE
    except OSError:
        return False


def _remove(*files: Path) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)
