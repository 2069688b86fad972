"""Small pictures of videos, made when somebody first looks."""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from contextlib import suppress
from pathlib import Path

from wan_app.media.ffmpeg import mp4_input, named

# Twice the width of a tile, for dense screens.
_WIDTH = 360
_FACE = 240
# One at a time: a page of twenty-four must not take all cores from a video in the making.
_ONE = threading.Lock()


def made(video: Path, thumb: Path, seconds: float) -> Path | None:
    """`thumb`, a JPEG from a third into the MP4 `video`; None if no picture can be had of it."""
    if thumb.is_file():
        return thumb
    with _ONE:
        return thumb if thumb.is_file() or _make(video, thumb, seconds / 3) else None


def _make(video: Path, thumb: Path, at: float) -> bool:
    part = thumb.with_name(f".{uuid.uuid4().hex}.jpg")
    before, source = mp4_input(video)[:-2], mp4_input(video)[-2:]
    command = [
        *before, "-ss", f"{max(0.0, at):.3f}", *source, "-frames:v", "1", "-vf", f"scale={_WIDTH}:-2", "-q:v", "4",
        "-y", named(part),
    ]
    try:
        thumb.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        if done.returncode or not part.is_file():
            return False
        os.replace(part, thumb)
        return True
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def of_picture(picture: Path, thumb: Path) -> Path | None:
    """`thumb`, a small square JPEG of a kept `picture`; None if it cannot be read."""
    from PIL import Image, ImageOps

    if thumb.is_file():
        return thumb
    part = thumb.with_name(f".{uuid.uuid4().hex}.jpg")
    try:
        thumb.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Image.open(picture) as face:
            # Heads are above the middle of most portraits.
            ImageOps.fit(face.convert("RGB"), (_FACE, _FACE), centering=(0.5, 0.35)).save(part, "JPEG", quality=85)
        os.replace(part, thumb)
        return thumb
    except OSError:
        return None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
