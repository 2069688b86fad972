"""Clips written as the app writes them, and read back frame by frame, at whatever size."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from wan_app.media.encoder import Encoder
from wan_app.media.ffmpeg import binary, named


def write(frames: Iterable[np.ndarray], path: Path, *, fps: float) -> None:
    """The app's own encoder and settings, without sound and without a mark."""
    frames = iter(frames)
    first = next(frames)
    height, width = first.shape[:2]
    with Encoder(path, width=width, height=height, fps=Fraction(fps), comment="") as encoder:
        encoder.write(first.tobytes())
        for frame in frames:
            encoder.write(frame.tobytes())
        encoder.finish(lambda: None)


def frames_of(path: Path) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) each, as ffmpeg shows them; PPM because it says every frame's size."""
    command = [
        binary(), "-nostdin", "-loglevel", "fatal", "-threads", "1", "-i", named(path), "-an",
        "-vf", "scale=flags=bicubic+accurate_rnd+full_chroma_int", "-fps_mode", "passthrough",
        "-pix_fmt", "rgb24", "-f", "image2pipe", "-c:v", "ppm", "pipe:1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        while process.stdout.readline():
            width, height = map(int, process.stdout.readline().split())
            process.stdout.readline()
            raw = process.stdout.read(width * height * 3)
            yield np.frombuffer(raw, np.uint8).reshape(height, width, 3)
    finally:  # also where nobody wants the rest
        process.kill()
        process.stdout.close()
        process.wait()


def convert(source: Path, out: Path, *options: str) -> None:
    """One ffmpeg run on one thread.

    Raises:
        RuntimeError: with ffmpeg's own words.
    """
    command = [
        binary(), "-nostdin", "-y", "-loglevel", "error", "-threads", "1", "-i", named(source), "-an",
        *options, "-threads", "1", named(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"ffmpeg {' '.join(options)}: {done.stderr.strip()[-300:]}")
