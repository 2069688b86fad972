"""Paths that may not take a file: asking first, and one-line errors when a write fails after all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wan_app.errors import StorageError

# A five-second 720p clip at CRF 18 is below 16 MiB; with less than this free it is not worth starting.
MIN_FREE_BYTES = 16 * 1024 * 1024
# What the system may answer to a write, and what would help.
WRITE_ERRORS = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space within your disk quota",
    errno.EFBIG: "a disk that takes files of this size",
    errno.EROFS: "a disk that can be written to",
    errno.EACCES: "a folder you may write to",
    errno.EPERM: "a folder you may write to",
    errno.ENOENT: "a folder that exists",
    errno.ENOTDIR: "a folder that exists",
    errno.ENAMETOOLONG: "a shorter file name",
}


def shown(path: str | os.PathLike[str], limit: int = 120) -> str:
    """`path` safe to print in one line: no control or direction characters, its end kept if long."""
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    text = "".join("?" if unicodedata.category(char) in unsafe else char for char in os.fspath(path))
    return text if len(text) <= limit else "..." + text[3 - limit:]


def storage_error(field: str, path: Path, error: OSError) -> StorageError:
    """What a failed write means for the user: where, what the system said, what to do."""
    said = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    needed = WRITE_ERRORS.get(error.errno or 0, "a place that can be written to")
    return StorageError(field, f"{shown(path)} ({said})", needed)


def check_writable(path: Path | str, field: str = "out") -> None:
    """Refuse an output path that cannot be written, before minutes are spent on what goes there.

    Writes a few bytes beside `path` and removes them: permission bits alone say nothing about
    read-only mounts, quotas or the superuser.

    Raises:
        StorageError: a folder or device is there, the folder is missing, read-only or full.
    """
    path = Path(path)
    try:
        _check_target(path, field)
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
        usage = shutil.disk_usage(path.parent)
    except OSError as error:
        raise storage_error(field, path, error) from error
    except ValueError as error:  # a NUL character: no file system takes it
        raise StorageError(field, shown(path), "a path without control characters") from error
    # Some network file systems report no size at all; those are taken at their word when written.
    if usage.total and usage.free < MIN_FREE_BYTES:
        raise StorageError(
            field, f"{shown(path)} on a disk with {usage.free / 2**20:.1f} MiB free",
            f"at least {MIN_FREE_BYTES / 2**20:.0f} MiB",
        )


def write_atomically(path: Path, data: bytes, field: str) -> None:
    """Write `data` so that `path` is either absent or whole, readable by its owner only.

    Raises:
        StorageError: nothing was left behind.
    """
    part: str | None = None
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave an empty file under the final name
        os.replace(part, path)
    except BaseException as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(field, path, error) from error
        raise


def give_name(part: Path, out: Path) -> None:
    """Move a written file to its place; after a power cut `out` is the old file, or the new one whole.

    Without waiting for the disk first, some file systems bring back the new name with nothing in it.

    Raises:
        OSError: it cannot be moved.
    """
    _to_disk(part)
    os.replace(part, out)
    if os.name == "posix":  # elsewhere folders cannot be opened
        _to_disk(out.parent)


@contextmanager
def part_beside(out: Path, part: Path | None) -> Iterator[Path]:
    """`part` or a hidden name on `out`'s own disk, gone at the end unless it was moved away."""
    part = part or out.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no such thing
            raise
    finally:
        os.close(handle)


def _check_target(path: Path, field: str) -> None:
    if not path.name:
        raise StorageError(field, shown(path) or "nothing", "a file name")
    if not path.parent.is_dir():
        raise StorageError(field, f"{shown(path)} (no folder {shown(path.parent)})", "a folder that exists")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise StorageError(field, f"the folder {shown(path)}", "a file name, for example clip.mp4 in it")
    if not stat.S_ISREG(mode):
        raise StorageError(field, f"{shown(path)} (not an ordinary file)", "a file name")
