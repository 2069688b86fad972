"""What a written MP4 really holds, measured by decoding it (imageio-ffmpeg brings no ffprobe)."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from wan_app.errors import ExportFailed
from wan_app.media.ffmpeg import named, read_mp4
from wan_app.media.looks import GLANCE, grid
from wan_app.media.loudness import loudness
from wan_app.media.sync import lag
from wan_app.types import AudioInfo, Check

_CHANNELS = {"mono": 1, "stereo": 2}
# What AAC makes of speech is 0.99 alike, of full-band stereo noise 0.7; of another sound, below 0.1.
_SAME_SOUND = 0.3
_SILENCE = 1e-3  # -60 dB: AAC may keep nothing of it


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """Measured on the file: `seconds` is `num_frames / fps`; `audio` None for a silent file. `notes` are lines
    for people on marks that it could not carry; `glances`, uint8 (num_frames, rows, columns, 3), what its frames
    look like (`media.looks`); `checks` what was found in order."""

    width: int
    height: int
    num_frames: int
    fps: float
    seconds: float
    audio: AudioInfo | None = None
    notes: tuple[str, ...] = ()
    glances: np.ndarray | None = field(default=None, repr=False, compare=False)
    checks: tuple[Check, ...] = field(default=(), compare=False)


def probe(path: Path, sent: np.ndarray | None = None) -> VideoFacts:
    """Decode every frame of `path` and measure.

    Args:
        sent: float32 (channels, n) at the rate of the file's sound: what was to be heard from the
            first frame on. The file's sound is held against it; without it, `audio.offset` is
            when that stream starts, and loudness is not measured.

    Raises:
        ExportFailed: it cannot be decoded to the end, has no picture, or no constant frame rate.
    """
    # framecrc prints one line a decoded frame, "stream, dts, pts, duration, size, crc", after
    # "#name stream: value" lines; passthrough keeps ffmpeg from mending the frame rate.
    lines = ("-map", "0:v:0", "-map", "0:a:0?", "-fps_mode", "passthrough", "-f", "framecrc")
    small = ("-map", "0:v:0", "-vf", GLANCE, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24")
    with tempfile.TemporaryDirectory() as folder:  # a second pipe to a child is not to be had on Windows
        seen, raw = Path(folder, "seen.rgb"), Path(folder, "heard.f32")
        sound = () if sent is None else ("-map", "0:a:0", "-f", "f32le", named(raw))
        facts = _facts(*_parse(_read(path, *small, named(seen), *sound, *lines)))
        columns, rows = grid(facts.width, facts.height)
        facts = replace(facts, glances=np.fromfile(seen, np.uint8).reshape(-1, rows, columns, 3))
        if sent is None:
            return facts
        heard = np.fromfile(raw, np.float32)
    assert facts.audio  # else ffmpeg would not have written it
    return replace(facts, audio=_against(facts.audio, heard.reshape(-1, facts.audio.channels or 1).T, sent))


def _read(path: Path, *outputs: str) -> str:
    try:
        done = read_mp4(path, *outputs)
    except subprocess.TimeoutExpired:
        raise ExportFailed("the written file could not be read back within a minute") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise ExportFailed(f"the written file cannot be decoded: {lines[-1][:200]}")
    return done.stdout


def _against(audio: AudioInfo, heard: np.ndarray, sent: np.ndarray) -> AudioInfo:
    """`audio` with its loudness, and its offset by comparison with what was sent.

    Raises:
        ExportFailed: it is another sound.
    """
    audio = replace(audio, loudness=loudness(heard, audio.sample_rate))
    if np.abs(sent).max(initial=0.0) < _SILENCE:
        return audio  # it sounds alike at any offset; when its stream starts is all there is
    late, likeness = lag(heard, sent, audio.sample_rate)
    if likeness < _SAME_SOUND:
        raise ExportFailed(f"the written file holds another sound: {likeness:.2f} alike, needed {_SAME_SOUND}")
    return replace(audio, offset=(audio.offset or 0.0) + late)


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
    frames = [(pts, duration) for stream, pts, duration in rows if stream == 1]
    tick = Fraction(header["tb 1"])
    picture = next(pts for stream, pts, _ in rows if stream == 0) * Fraction(header["tb 0"])
    return AudioInfo(
        sample_rate=int(header["sample_rate 1"]),
        channels=_CHANNELS.get(header.get("channel_layout_name 1", ""), 0),
        seconds=float(sum(duration for _, duration in frames) * tick),
        offset=float(frames[0][0] * tick - picture) if frames else None,
    )
