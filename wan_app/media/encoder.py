"""One ffmpeg process that turns raw frames on its standard input into an H.264 MP4.

Not moviepy's FFMPEG_VideoWriter: that one rounds the frame rate to two decimals, throws ffmpeg's
exit code and last words away when it closes (a disk that fills up while x264 flushes goes
unnoticed), and cannot be stopped half-way.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from wan_app.errors import ExportFailed
from wan_app.media.ffmpeg import binary, named
from wan_app.media.storage import WRITE_ERRORS

AUDIO_RATE = 48_000
# accurate_rnd costs nothing measurable and brings colours a little nearer.
_TO_YUV = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd,format=yuv420p,"
    # On the frames: ffmpeg 9 lets what they say outdo -color_primaries and -color_trc.
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)


@dataclass(frozen=True, kw_only=True)
class RawSound:
    """Interleaved float32 samples at AUDIO_RATE in a file."""

    file: Path
    channels: int


class Encoder:
    """Writes `width` x `height` RGB frames into `part`; a context manager that leaves no process behind.

    Raises:
        OSError: from `write` and `finish`, when the disk refused (with the errno of the reason).
        ExportFailed: when ffmpeg failed for any other reason.
    """

    def __init__(
        self, part: Path, *, width: int, height: int, fps: Fraction, comment: str, sound: RawSound | None = None
    ) -> None:
        command = [
            binary(), "-y", "-loglevel", "error",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}",
            "-framerate", str(fps), "-i", "pipe:0", *_sound_input(sound),
            "-vf", _TO_YUV, "-c:v", "libx264", "-preset", "veryfast", "-crf", "18",
            *_sound_output(sound), "-metadata", f"comment={comment}",
            "-movflags", "+faststart", "-f", "mp4", named(part),
        ]
        try:
            # A session of its own: Ctrl+C in a terminal is for us to handle, then we stop ffmpeg.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ExportFailed(f"ffmpeg could not be started: {error}") from error

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):  # unsent bytes of a frame that nobody wants any more
                    pipe.close()
        self._process.wait()

    def write(self, frame: bytes) -> None:
        """Send one frame of width * height * 3 bytes."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(frame)
        except BrokenPipeError:
            self.finish(lambda: None)
            raise ExportFailed("ffmpeg stopped taking frames half-way") from None

    def finish(self, check: Callable[[], None]) -> None:
        """Let ffmpeg flush, and wait for it, calling `check` ten times a second."""
        while True:
            try:
                _, said = self._process.communicate(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                check()
        if self._process.returncode != 0:
            raise _failure(said.decode("utf-8", "replace"), self._process.returncode)


def _failure(said: str, code: int) -> Exception:
    """What ffmpeg's last words mean; it reports the system's own wording of an errno."""
    for number in WRITE_ERRORS:
        if os.strerror(number) in said:
            return OSError(number, os.strerror(number))
    lines = said.strip().splitlines()
    return ExportFailed(f"ffmpeg ended with code {code}: {lines[-1][:200] if lines else 'it said nothing'}")


def _sound_input(sound: RawSound | None) -> list[str]:
    if sound is None:
        return []
    layout = {1: "mono", 2: "stereo"}[sound.channels]
    return [
        "-f", "f32le", "-ar", str(AUDIO_RATE), "-ch_layout", layout, "-i", named(sound.file),
    ]


def _sound_output(sound: RawSound | None) -> list[str]:
    if sound is None:
        return ["-an"]
    return [
        "-map", "0:v", "-map", "1:a", "-c:a", "aac", "-b:a", "192k",
    ]
