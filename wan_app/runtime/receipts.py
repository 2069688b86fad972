"""Receipts: what a worker writes once a file is whole, so that the result is known whoever dies next.

    file moved to its place -> receipt -> Finished travels to the server -> ledger -> receipt removed

Whoever is killed between two of these leaves the file and its receipt, or the file alone, which is made again
in the same place.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from wan_app.types import GenerationResult


def write(path: Path, result: GenerationResult) -> None:
    """Put down what was made; a disk that takes no more only means that it may be made again."""
    part = _growing(path)
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = result.file.stat().st_size
        with part.open("w", encoding="utf-8") as file:
            json.dump({"size": size, "result": result.to_json()}, file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave an empty one under the final name
        os.replace(part, path)


def read(path: Path) -> GenerationResult | None:
    """The result whose file lies where the receipt says, as large as it was; None if there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        result = GenerationResult.from_json(data["result"])
        return result if result.file.is_file() and result.file.stat().st_size == data["size"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(path: Path) -> None:
    """The ledger knows it now."""
    for left in (path, _growing(path)):
        with suppress(OSError):
            left.unlink(missing_ok=True)


def _growing(path: Path) -> Path:
    return path.with_name(f".{path.stem}.part")
