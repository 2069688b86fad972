"""Frames and sound of an MP4 of ours, decoded one frame at a time."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wan_app.errors import ExportFailed
from wan_app.media.ffmpeg import mp4_input, named


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What is known to be in the file; with `channels` 0 its sound is not asked for."""

    width: int
    height: int
    channels: int = 0


@contextmanager
def read_frames(
    path: Path, of: Decoded, *, every: int = 1
) -> Iterator[tuple[Iterator[np.ndarray], Callable[[], np.ndarray | None]]]:
    """Every so many-th frame, uint8 (height, width, 3), the first among them; and, to be called when they
    are through, a function that gives the whole sound, float32 (channels, n), None if it is not asked for.

    Raises:
        ExportFailed: from either, when the file cannot be decoded.
    """
    with tempfile.TemporaryDirectory() as folder:  # a second pipe to a child is not to be had on Windows
        raw = Path(folder, "heard.f32")
        command = [
            *mp4_input(path), "-map", "0:v:0", "-vf", f"select=not(mod(n\\,{every}))", "-fps_mode", "passthrough",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1",
        ]
        if of.channels:
            command += ["-map", "0:a:0", "-f", "f32le", named(raw)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

        images = _frames(process, of)

        def sound() -> np.ndarray | None:
            for _ in images:  # what nobody took
                pass
            if process.wait() != 0:
                raise ExportFailed("the written file cannot be decoded")
            return np.fromfile(raw, np.float32).reshape(-1, of.channels).T if of.channels else None

        try:
            yield images, sound
        finally:
            process.kill()
            process.communicate()


def _frames(process: subprocess.Popen[bytes], of: Decoded) -> Iterator[np.ndarray]:
    assert process.stdout is not None
    size = of.width * of.height * 3
    while data := process.stdout.read(size):
        if len(data) < size:
            raise ExportFailed("the written file cannot be decoded to its end")
        yield np.frombuffer(data, np.uint8).reshape(of.height, of.width, 3)
