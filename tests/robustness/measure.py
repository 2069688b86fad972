"""One clip marked, attacked and read; and unmarked ones read, which must stay without a mark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.robustness.attacks import ATTACKS
from tests.robustness.files import frames_of, write
from tests.robustness.quality import psnr, ssim
from wan_app.media.marks.video_mark import VideoMarker, VideoMarkReading, read_video_mark

IDENTITY = 0x123456789A
KEY = b"the key of one install, 32 bytes"


@dataclass(frozen=True)
class Quality:
    """What marking did to a clip: decibels, similarity, milliseconds for the
    quickest frame (others waited for the machine), more kbit a second in the file."""

    shape: tuple[int, ...]
    psnr: float
    least_psnr: float
    ssim: float
    milliseconds: float
    more: float


@dataclass(frozen=True)
class Cell:
    """What was read after an attack."""

    reading: VideoMarkReading
    seconds: float

    @property
    def recovered(self) -> bool:
        return self.reading.state == "ours" and self.reading.id == IDENTITY

    @property
    def wrong(self) -> bool:
        """An id, but not the one that was written: must never be."""
        return self.reading.id not in (None, IDENTITY)


def marked(frames: np.ndarray, fps: float, folder: Path) -> tuple[Path, Quality]:
    """The clip as the app delivers it, and what the mark did to it."""
    marker = VideoMarker(IDENTITY, KEY)
    marker.mark(frames[0])  # the pattern is made once per size
    after, times = np.empty_like(frames), []
    for index, frame in enumerate(frames):
        started = time.process_time()
        after[index] = marker.mark(frame)
        times.append(time.process_time() - started)
    plain, delivered = folder / "plain.mp4", folder / "delivered.mp4"
    write(frames, plain, fps=fps)
    write(after, delivered, fps=fps)
    some = range(0, len(frames), max(1, len(frames) // 6))
    decibels = [psnr(one, other) for one, other in zip(frames, after)]
    return delivered, Quality(
        shape=frames.shape, psnr=float(np.mean(decibels)), least_psnr=min(decibels),
        ssim=min(ssim(frames[index], after[index]) for index in some), milliseconds=1000 * min(times),
        more=(delivered.stat().st_size - plain.stat().st_size) * 8 / 1000 * fps / len(frames),
    )


def attacked(delivered: Path, name: str, folder: Path, *, frames: int, fps: float) -> Cell:
    """The id read after the attack of that name."""
    file = ATTACKS[name].run(delivered, folder, frames=frames, fps=fps)
    started = time.process_time()
    return Cell(read_video_mark(frames_of(file), [KEY]), time.process_time() - started)


@dataclass
class FalsePositives:
    """Readings of what never carried a mark."""

    read: int = 0
    ours: int = 0
    other: int = 0
    unreadable: int = 0
    highest: float = 0.0

    def add(self, reading: VideoMarkReading) -> None:
        """Count one."""
        self.read += 1
        self.ours += reading.state == "ours"
        self.other += reading.state == "other"
        self.unreadable += reading.state == "unreadable"
        self.highest = max(self.highest, reading.strength)


def unmarked(clips: Iterator[list[np.ndarray]]) -> FalsePositives:
    """Read every clip with two keys and the search of all scales."""
    counted = FalsePositives()
    for frames in clips:
        counted.add(read_video_mark(frames, [KEY, KEY[::-1]]))
    return counted
