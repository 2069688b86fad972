"""The only MP4 writer, and the reader of the request it stores inside.

    frames, one by one -> enlarged -> labelled -> marked -> ffmpeg -> hidden part file
    -> marks read back (if weak: once more, stronger) -> signed -> measured and held against what was sent
    -> moved to `out`
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from wan_app.errors import ExportFailed, InvalidRequest
from wan_app.families.parts.recording import resampled
from wan_app.families.spec import written_scale
from wan_app.media.encoder import AUDIO_RATE, Encoder, RawSound
from wan_app.media.ffmpeg import read_mp4
from wan_app.media.label import Label
from wan_app.media.looks import Witness
from wan_app.media.marks.credentials import sign
from wan_app.media.marks.marking import SMALL, Marks, deliver, marked_and_read
from wan_app.media.marks.video_mark import VideoMarker
from wan_app.media.probe import VideoFacts, probe
from wan_app.media.replay import replayable
from wan_app.media.samples import Sound, fit
from wan_app.media.storage import check_writable, part_beside, shown, storage_error
from wan_app.media.truth import check_file, check_made, told
from wan_app.types import Reporter

__all__ = ["VideoFacts", "check_writable", "export_video", "read_metadata"]

# In front of our JSON in the MP4's comment: other programs write JSON there too.
_MARK = "wan_app/1 "


def export_video(
    frames: Iterable[np.ndarray],
    out: Path,
    *,
    fps: float,
    audio: np.ndarray | None = None,
    sample_rate: int | None = None,
    metadata: dict[str, Any],
    marks: Marks,
    report: Reporter | None = None,
    scale: int | None = None,
    part: Path | None = None,
) -> VideoFacts:
    """Write an H.264 MP4 and measure it; `out` is either complete or untouched.

    Args:
        frames: uint8 (height, width, 3) each, RGB; an array (num_frames, height, width, 3) or any
            iterable, taken one at a time.
        audio: float32 (channels, samples) in [-1, 1] at `sample_rate`, mono or stereo; cut, or
            filled up with silence, to the length of `frames` where that is known (`len`), else it
            must be as long as they turn out to be.
        metadata: JSON types, given back by `read_metadata`.
        marks: what the file is marked with, in picture, sound and credentials; nothing is written without.
        report: its `check` is called between frames; what it raises leaves no file.
        scale: whole factor of enlargement; None enlarges small clips by `written_scale`.
        part: name of the growing file, in `out`'s folder; None makes one up. It is gone at the end,
            but for a process that is killed: then whoever chose the name can remove it, and all others
            which have its stem.

    Raises:
        StorageError: `out` cannot be written, or the disk filled up on the way.
        ExportFailed: wrong frames (all black, or all the same), ffmpeg failed, or the file does not hold what
            was sent, in sync and marked.
    """
    out = Path(out)
    check_writable(out)
    check = report.check if report is not None else _never
    try:
        sent = _fitted(audio, sample_rate, frames, fps)
        with part_beside(out, part) as growing, replayable(frames, growing) as again:
            film = _Film(again, growing, fps, _comment(metadata), scale, marks.label, check)
            wanted, sound, notes = marked_and_read(partial(_write, film), growing, sent, marks, check)
            store = sign(growing, "video/mp4", marks.facts, marks.keys, sound_marked=sound.marked)
            facts = probe(growing, sound.samples)
            check_file(facts, wanted, silent=sent is None)
            check()
            deliver(growing, out, marks, store)
    except OSError as error:
        raise storage_error("out", out, error) from error
    said = told(facts, picture_marked=SMALL not in notes, sound_marked=sound.marked)
    return replace(facts, notes=notes, checks=said, glances=None)


def read_metadata(path: Path | str, field: str = "from") -> dict[str, Any]:
    """The `metadata` that `export_video` stored in the video `path`.

    Raises:
        InvalidRequest: naming `field`: no such file, or not a video made by this app.
    """
    path = Path(path)
    needed = "a video made by this app, as it was written"
    try:
        if not path.is_file():
            raise InvalidRequest(field, f"{shown(path)} (no such file)", needed)
        done = read_mp4(path, "-f", "ffmetadata")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise InvalidRequest(field, f"{shown(path)} (unreadable)", needed) from None
    stored = re.search(rf"^comment={_MARK}(.*)$", done.stdout, re.MULTILINE)
    try:
        # ffmetadata puts a backslash before = ; # \ and newlines.
        data = json.loads(re.sub(r"\\(.)", r"\1", stored[1])) if stored else None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InvalidRequest(field, f"{shown(path)} (no request of this app in it)", needed)
    return data


class _Film(NamedTuple):
    """What is to be written into `part`, as often as it takes; arguments as of `export_video`."""

    frames: Iterable[np.ndarray]
    part: Path
    fps: float
    comment: str
    scale: int | None
    label: Label
    check: Callable[[], None]


def _write(film: _Film, marker: VideoMarker, sound: np.ndarray | None) -> VideoFacts:
    """Stream all frames into the part file, marked; what it must turn out to hold."""
    frames = iter(film.frames)
    first = next(frames, None)
    if first is None:
        raise ExportFailed("there are no frames to write")
    height, width = _checked(first, None).shape[:2]
    scale = film.scale or written_scale(width, height)
    size = (width * scale, height * scale)
    if size[0] % 2 or size[1] % 2:
        raise ExportFailed(f"cannot write {size[0]}x{size[1]}; both sides must be even")
    rate = Fraction(film.fps).limit_denominator(1001)
    witness = Witness()
    with _sound(sound, film.part) as raw, Encoder(
        film.part, width=size[0], height=size[1], fps=rate, comment=film.comment, sound=raw
    ) as encoder:
        for frame in chain([first], frames):
            film.check()
            labelled = film.label.on(_enlarged(_checked(frame, first.shape), size), witness.count, film.fps)
            marked = marker.mark(labelled)
            encoder.write(marked.tobytes())
            witness.see(frame, marked)
        encoder.finish(film.check)
    check_made(witness)
    return VideoFacts(
        width=size[0], height=size[1], num_frames=witness.count, fps=float(rate),
        seconds=float(witness.count / rate), glances=np.stack(witness.glances),
    )


def _checked(frame: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ExportFailed(f"a frame is {frame.dtype} {frame.shape}; needed uint8 (height, width, 3)")
    if shape is not None and frame.shape != shape:
        raise ExportFailed(f"a frame is {frame.shape} among frames of {shape}")
    return frame


def _enlarged(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (height, width, 3) at `size` (width, height); here and not in ffmpeg, so that whatever
    marks the written pixels sees them as they will be delivered."""
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    # Bicubic: Lanczos draws halos along the outlines of a cartoon.
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))


def _comment(metadata: dict[str, Any]) -> str:
    # ASCII only, so that no locale or command line on the way can change a character.
    return _MARK + json.dumps(metadata, ensure_ascii=True, separators=(",", ":"))


def _fitted(
    audio: np.ndarray | None, sample_rate: int | None, frames: Iterable[np.ndarray], fps: float
) -> np.ndarray | None:
    """float32 (channels, samples) in [-1, 1] at 48 kHz, as long as the frames to the sample. Here,
    because ffmpeg's `-shortest` cut the same sound at 0.55 or 0.98 s by chance."""
    if audio is None:
        return None
    if audio.ndim != 2 or audio.shape[0] not in (1, 2) or not audio.shape[1] or not sample_rate:
        raise ExportFailed(f"sound is {audio.shape} at {sample_rate} Hz; needed (1 or 2 channels, samples)")
    clean = np.nan_to_num(audio.astype(np.float32), posinf=0.0, neginf=0.0)
    sound = Sound(resampled(clean, sample_rate, AUDIO_RATE).clip(-1.0, 1.0), AUDIO_RATE)
    if isinstance(frames, Sized):
        sound = fit(sound, float(len(frames) / Fraction(fps).limit_denominator(1001)))
    return sound.samples


@contextmanager
def _sound(audio: np.ndarray | None, part: Path) -> Iterator[RawSound | None]:
    """`audio` in a file for ffmpeg to read: standard input is taken by the frames."""
    if audio is None:
        yield None
        return
    file = part.with_suffix(".f32")
    try:
        file.write_bytes(np.ascontiguousarray(audio.T).tobytes())
        yield RawSound(file=file, channels=audio.shape[0])
    finally:
        file.unlink(missing_ok=True)


def _never() -> None:
    """The check of an export that nobody can cancel."""
