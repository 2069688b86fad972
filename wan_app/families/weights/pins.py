"""The commit that weights came from, kept from the first download on: what changes on the hub later is not taken.

Rows name branches, for no commit could be looked up where they were written; this is trust on first use.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import suppress

from wan_app.settings import Settings

_COMMIT = re.compile(r"[0-9a-f]{40}")


def name_of(repository: str, revision: str) -> str:
    """What a pin is kept under: `main` of a repository is called after it alone."""
    return repository if revision == "main" else f"{repository}@{revision}"


def pinned(name: str, settings: Settings) -> str | None:
    """The commit of the first whole download of `name_of` something, None before it."""
    commit = _read(settings).get(name)
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None


def pin(name: str, commit: str, settings: Settings) -> None:
    """Keep to `commit` from now on, unless there is one already. A folder that cannot be written pins nothing."""
    rows = _read(settings)
    if rows.get(name) or not _COMMIT.fullmatch(commit):
        return
    file = settings.pins_file
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent, prefix=".pins", suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(rows | {name: commit}, stream, indent=1)
        os.replace(part, file)


def _read(settings: Settings) -> dict[str, object]:
    try:
        rows = json.loads(settings.pins_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return rows if isinstance(rows, dict) else {}
