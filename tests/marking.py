"""Marks for tests that write files: keys of an install that is made once for all of them."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile

from wan_app.media.frames import Decoded, read_frames
from wan_app.media.marks.audio_mark import read_audio_mark
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.manifest import Facts
from wan_app.media.marks.marking import Marks, unused_id
from wan_app.media.marks.payload import WatermarkId
from wan_app.media.marks.video_mark import read_video_mark
from wan_app.media.probe import probe
from wan_app.media.video import read_metadata


@lru_cache(maxsize=1)
def install_keys() -> InstallKeys:
    """The same for a whole test run; on no disk any more."""
    with tempfile.TemporaryDirectory(prefix="wan-app-tests-keys-") as folder:
        return InstallKeys.open(Path(folder))


def marks_in(sidecars: Path, **stated: object) -> Marks:
    """Marks of a new file, whose sidecar goes to `sidecars`; `stated` changes fields of its Facts."""
    said = {
        "watermark_id": unused_id(sidecars), "created": "2026-11-22T10:00:00Z", "model": "pocket",
        "model_title": "Pocket", "mode": "text", **stated,
    }
    return Marks(keys=install_keys(), facts=Facts(**said), sidecars=sidecars)  # type: ignore[arg-type]


def picture_id(file: Path, keys: InstallKeys) -> str | None:
    """The id in the picture of a video of ours, 10 hex digits; None if it is not there, or of another install."""
    facts = probe(file)
    with read_frames(file, Decoded(width=facts.width, height=facts.height)) as (frames, _):
        reading = read_video_mark(frames, [keys.mark_key])
    return str(WatermarkId(reading.id)) if reading.state == "ours" and reading.id is not None else None


def sound_id(file: Path, keys: InstallKeys) -> str | None:
    """The id in the sound of a file, 8 hex digits; None if it is not there, or of another install."""
    with tempfile.TemporaryDirectory() as folder:
        heard = Path(folder, "heard.wav")
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(file), "-vn", str(heard)]
        subprocess.run(command, check=True)
        samples, rate = soundfile.read(heard, dtype="float32", always_2d=True)
    reading = read_audio_mark(samples.T, rate, [keys.mark_key])
    return f"{reading.id_low:08x}" if reading.state == "ours" and reading.id_low is not None else None


def same_but_for_marks(one: Path, other: Path) -> bool:
    """Whether two videos of ours show and tell the same; every file's marks are its own."""
    facts = probe(one)
    requests = [{**read_metadata(file)["request"], "consent_id": None} for file in (one, other)]
    if replace(probe(other), audio=None) != replace(facts, audio=None) or requests[0] != requests[1]:
        return False
    of = Decoded(width=facts.width, height=facts.height)
    with read_frames(one, of) as (seen, _), read_frames(other, of) as (again, _):
        # The marks move a pixel by a few levels, another picture by dozens.
        return all(np.abs(a.astype(int) - b).mean() < 4 for a, b in zip(seen, again))
