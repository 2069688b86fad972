"""The LoRAs that lie in the studio's folder, by name: who asks over the network can name no file elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan_app.errors import InvalidRequest

_ENDING = ".safetensors"


def names(folder: Path) -> list[str]:
    """What there is to choose from, without the ending; none where there is no folder."""
    try:
        return sorted(one.stem for one in folder.iterdir() if one.suffix == _ENDING and one.is_file())
    except OSError:
        return []


def file_of(name: Any, folder: Path) -> Path:
    """The file of a LoRA. Raises InvalidRequest for anything that `names` does not list."""
    known = names(folder)
    if not isinstance(name, str) or name not in known:
        needed = "one of " + ", ".join(known[:20]) if known else f"none: no {_ENDING} files are in the LoRA folder"
        raise InvalidRequest("lora", repr(name)[:60], needed)
    return folder / f"{name}{_ENDING}"
