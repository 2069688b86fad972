"""How results are named and told to the outside; copies in Gradio's own cache for its clients.

The page's own players take results from `ui.files`. Only gradio_client, which fetches files from that
cache alone, and the last frame, which becomes an upload, need the copies.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from wan_app.types import GenerationRequest, GenerationResult


def deliver(job_id: str, result: GenerationResult, request: GenerationRequest) -> str:
    """A copy of the video (or of the sound alone) in Gradio's cache, and its path.

    `ui.guard` serves it to those to whom it was handed out. The cache is emptied after two hours; a later
    visit makes the copy anew.
    """
    folder = Path(get_upload_folder()).resolve() / hashlib.sha256(job_id.encode()).hexdigest()
    target = folder / file_name(request, result)
    if target.is_file():
        os.utime(target)
        return str(target)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
        shutil.copy2(result.file, part.name)
    os.replace(part.name, target)
    return str(target)


def file_name(request: GenerationRequest, result: GenerationResult) -> str:
    """What a result is called where people see it."""
    return f"{slug(request.prompt)}-{result.seed}{result.file.suffix}"


def file_data(path: str) -> dict[str, Any]:
    """The dict by which Gradio's API speaks of a file; its clients fetch it."""
    return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}


def public_result(result: GenerationResult) -> dict[str, Any]:
    """The result without the server's paths."""
    return {**result.to_json(), "file": result.file.name}


def public_request(request: GenerationRequest) -> dict[str, Any]:
    """The settings without the server's paths: pictures and sounds by the ends of their content names."""
    data = request.to_json()
    for name in ("image", "last_image", "soundtrack", "weights"):
        data[name] = Path(data[name]).name if data.get(name) else None
    for one in data["characters"]:
        one["faces"] = [Path(face).name for face in one["faces"]]
        one["voice"] = Path(one["voice"]).name if one.get("voice") else None
    for one in data["loras"]:
        one["file"] = Path(one["file"]).name
    if data["soundtrack"] is None:
        del data["soundtrack_mode"]
    # Not `in (..., False)`: a seed of 0 equals False.
    return {key: value for key, value in data.items() if value not in (None, "", []) and value is not False}


def slug(prompt: str) -> str:
    """ "a-girl-waves": the first words of a prompt as a file name."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    return "-".join(words)[:40].strip("-") or "video"
