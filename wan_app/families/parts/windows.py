"""The finished part of a clip that is made in windows, kept on the disk while the rest is made.

A job whose process died goes on from there; noise is drawn as ever, so that the clip is the same to the last bit.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def keep(file: Path | None, **latents: torch.Tensor) -> None:
    """Put down what is finished; without a file, or on a disk that takes no more, it would be made again."""
    if file is None:
        return
    import torch

    part = file.with_name(f".{file.stem}.part")
    with suppress(OSError, RuntimeError):  # torch's writer says RuntimeError for a full disk
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with part.open("wb") as stream:
            torch.save({name: one.detach().cpu().contiguous() for name, one in latents.items()}, stream)
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut may leave an empty one under the final name
        os.replace(part, file)


def kept(file: Path | None) -> dict[str, torch.Tensor]:
    """What was put down; empty if there is nothing, or nothing whole."""
    if file is None or not file.is_file():
        return {}
    import torch

    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # half a file fails in many ways
        return {}
    whole = isinstance(found, dict) and all(isinstance(one, torch.Tensor) for one in found.values())
    return found if whole else {}
