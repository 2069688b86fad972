"""What a written MP4 really holds, measured by decoding it (imageio-ffmpeg brings no ffprobe)."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from wan_app.errors import ExportFailed
from wan_app.media.ffmpeg import read_mp4
from wan_app.types import AudioInfo

_CHANNELS = {"mono": 1, "stereo": 2}


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """Measured on the file: `seconds` is `num_frames / fps`; `audio` None for a silent file."""

    width: int
    height: int
    num_frames: int
    fps: float
    seconds: float
    audio: AudioInfo | None = None


def probe(path: Path) -> VideoFacts:
    """Decode every frame of `path` and measure.

    Raises:
        ExportFailed: it cannot be decoded to the end, has no picture, or no constant frame rate.
    """
    try:
        # framecrc prints one line a decoded frame, "stream, dts, pts, duration, size, crc", after
        # "#name stream: value" lines; passthrough keeps ffmpeg from mending the frame rate.
        done = read_mp4(path, "-map", "0:v:0", "-map", "0:a:0?", "-fps_mode", "passthrough", "-f", "framecrc")
    except subprocess.TimeoutExpired:
        raise ExportFailed("the written file could not be read back within a minute") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise ExportFailed(f"the written file cannot be decoded: {lines[-1][:200]}")
    return _facts(*_parse(done.stdout))


def _parse(text: str) -> tuple[dict[str, str], list[tuple[int, int, int]]]:
    """Header values by "name stream", and (stream, pts, duration) of every frame in time-base ticks."""
    header: dict[str, str] = {}
    rows: list[tuple[int, int, int]] = []
    for line in text.splitlines():
        if line.startswith("#"):
            name, _, value = line[1:].partition(":")
            header[name] = value.strip()
        elif line:
            stream, _, pts, duration, *_ = line.split(",")
            rows.append((int(stream), int(pts), int(duration)))
    return header, rows


def _facts(header: dict[str, str], rows: list[tuple[int, int, int]]) -> VideoFacts:
    times = [pts for stream, pts, _ in rows if stream == 0]
    if not times or "dimensions 0" not in header:
        raise ExportFailed("the written file has no picture in it")
    width, height = (int(side) for side in header["dimensions 0"].split("x"))
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)] or [rows[0][2]]
    if min(gaps) <= 0 or max(gaps) - min(gaps) > 1:  # one tick of rounding
        raise ExportFailed(f"the written file's frame rate varies: gaps of {min(gaps)} to {max(gaps)} ticks")
    fps = len(gaps) / (sum(gaps) * Fraction(header["tb 0"]))
    return VideoFacts(
        width=width, height=height, num_frames=len(times), fps=float(fps),
        seconds=float(len(times) / fps), audio=_audio(header, rows),
    )


def _audio(header: dict[str, str], rows: list[tuple[int, int, int]]) -> AudioInfo | None:
    if "sample_rate 1" not in header:
        return None
    ticks = sum(duration for stream, _, duration in rows if stream == 1)
    return AudioInfo(
        sample_rate=int(header["sample_rate 1"]),
        channels=_CHANNELS.get(header.get("channel_layout_name 1", ""), 0),
        seconds=float(ticks * Fraction(header["tb 1"])),
    )
