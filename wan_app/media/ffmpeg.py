"""The ffmpeg binary that moviepy brought, and how files are named to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

from wan_app.errors import ExportFailed


def binary() -> str:
    """Path of the ffmpeg program.

    Raises:
        ExportFailed: there is none for this platform.
    """
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise ExportFailed("no ffmpeg here; reinstall imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE") from error


def named(path: Path) -> str:
    """`path` for ffmpeg's command line: never an option, another protocol or a pattern."""
    return f"file:{path.absolute()}"


def mp4_input(path: Path) -> list[str]:
    """A command that reads the MP4 `path`; outputs are to follow.

    The container is named and only local files may be opened, so a playlist called clip.mp4
    cannot make ffmpeg fetch anything.
    """
    return [
        binary(), "-nostdin", "-loglevel", "error", "-xerror", "-protocol_whitelist", "file",
        "-f", "mov", "-i", named(path),
    ]


def read_mp4(path: Path, *output: str) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg over the MP4 `path`, writing to its standard output.

    Raises:
        subprocess.TimeoutExpired: after a minute, as no file of ours takes that long.
    """
    return subprocess.run(
        [*mp4_input(path), *output, "pipe:1"],
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", timeout=60,
    )
