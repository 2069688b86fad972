"""Files that strangers sent, looked at before any decoder is let near them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wan_app.errors import InvalidRequest
from wan_app.media.storage import shown


def head_of(path: Path, field: str, *, needed: str, max_bytes: int) -> bytes:
    """The first 64 bytes of an ordinary, non-empty file of a sane size.

    Raises:
        InvalidRequest: naming `field`: missing, a folder, a device, empty, or above `max_bytes`.
    """
    name = shown(path.name)
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise InvalidRequest(field, f"{name} (a folder)", needed)
        if not stat.S_ISREG(facts.st_mode):  # a pipe or device could block or never end
            raise InvalidRequest(field, f"{name} (not an ordinary file)", needed)
        if facts.st_size == 0:
            raise InvalidRequest(field, f"{name} (an empty file)", needed)
        if facts.st_size > max_bytes:
            raise InvalidRequest(
                field, f"{name} of {facts.st_size / 1e6:.0f} MB", f"a file of at most {max_bytes / 1e6:.0f} MB"
            )
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else "unreadable"
        raise InvalidRequest(field, f"{name} ({said})", needed) from error
    except ValueError as error:  # a NUL character in the path
        raise InvalidRequest(field, f"{name} (not a file name)", needed) from error
