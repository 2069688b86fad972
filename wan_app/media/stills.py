"""Single pictures out of a video."""

from __future__ import annotations

import subprocess
from pathlib import Path

from wan_app.errors import InvalidRequest
from wan_app.media.ffmpeg import binary, named


def last_frame(video: Path) -> Path:
    """The last frame as a PNG beside the video.

    Raises:
        InvalidRequest: no picture could be read from it.
    """
    still = video.with_name(f"{video.stem}-last.png")
    # Each frame overwrites the one before (-update), so that the last of the final second stays.
    command = [
        binary(), "-v", "error", "-nostdin", "-y", "-sseof", "-1", "-i", named(video), "-update", "1", named(still),
    ]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    if done.returncode or not still.is_file():
        raise InvalidRequest("image", f"a video without pictures: {video.name}", "a video made by this app")
    return still
