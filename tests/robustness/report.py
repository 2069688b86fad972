"""The measurements as a page that people read: wan_app/media/marks/ROBUSTNESS.md."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass, field

import numpy as np

from tests.robustness.attacks import ATTACKS
from tests.robustness.clips import CLIPS
from tests.robustness.measure import Cell, FalsePositives, Quality
from wan_app.media.ffmpeg import binary

_HEAD = """\
# How much the video's mark outlives

Made by `python -m tests.robustness`; do not edit. {frames} frames a clip (results of the app: the 17 they have),
written by the app's encoder, then attacked with ffmpeg (H.264 at CRF 23 where nothing else is said, preset
veryfast). A cell is the strength z at which the mark was found, 18 at most, where its id was read and right; it
says **no** where the id was not read, and *mark* where a mark was seen but no id. Cells marked † are known limits.

**{summary}**
"""
_LIMITS = """\
## What it does not outlive

- Cells marked † are tried all the same and not counted as promised: rotation by a few degrees, a short side of 128
  pixels, CRF 38; and for the two hardest clips, nearly black or busy all over, what they were seen not to outlive.
- Not tried, and surely not outlived: a picture drawn anew, a camera held to a screen at an angle, and somebody who
  wants the mark gone, for its waves are public (see `video_mark`).
- Small pictures carry less: with a short side of 256 little is outlived. The app enlarges small results before it
  marks them.
- Busy pictures that move under strong compression keep the mark only in frames that are coded for themselves; the
  beginning of a file or a scene is the best place to read. A single frame from between may have lost it.
- The mark makes files larger, most where the picture moves, as encoders must code it in every frame anew.
- "No mark found" proves nothing.
- The clips are few and short: one film, five photographs, cartoons, patterns. Yours may be harder.
"""


@dataclass
class Results:
    """Everything that was measured."""

    frames: int
    quality: dict[str, Quality] = field(default_factory=dict)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    single: FalsePositives = field(default_factory=FalsePositives)
    moving: FalsePositives = field(default_factory=FalsePositives)
    minutes: float = 0.0

    def counted(self) -> tuple[int, int]:
        """(recovered, all) without the known limits."""
        cells = [cell for (clip, attack), cell in self.cells.items() if not _is_limit(clip, attack)]
        return sum(cell.recovered for cell in cells), len(cells)

    def kept(self) -> bool:
        """Whether everything was as promised."""
        recovered, every = self.counted()
        false = [self.single.ours, self.single.other, self.moving.ours, self.moving.other]
        return recovered == every and not any(false) and not any(cell.wrong for cell in self.cells.values())

    def summary(self) -> str:
        """One line."""
        recovered, every = self.counted()
        wrong = sum(cell.wrong for cell in self.cells.values())
        least = min(self.quality.values(), key=lambda one: one.least_psnr)
        beyond = len(self.cells) - every
        return (
            f"{recovered} of {every} recovered, {beyond} more tried beyond known limits; {wrong or 'never'} a wrong "
            f"id; at least {least.least_psnr:.1f} dB "
            f"and SSIM {min(one.ssim for one in self.quality.values()):.3f}; "
            f"{self.single.ours + self.moving.ours} false positives in {self.single.read} frames and "
            f"{self.moving.read} clips."
        )


def page(results: Results) -> str:
    """Markdown."""
    return "\n".join([
        _HEAD.format(frames=results.frames, summary=results.summary()), *_attacks(results), "", *_quality(results), "",
        *_false(results), "", _LIMITS, *_versions(results), "",
    ])


def _attacks(results: Results) -> list[str]:
    clips = list(results.quality)
    names = list(dict.fromkeys(attack for _, attack in results.cells))
    lines = ["## Attacks", "", f"| attack | {' | '.join(clips)} |", f"|---|{'---|' * len(clips)}"]
    for name in names:
        cells = [_cell(results.cells[clip, name]) + (" †" if _is_limit(clip, name) else "") for clip in clips]
        lines.append(f"| {ATTACKS[name].words} | {' | '.join(cells)} |")
    return lines


def _is_limit(clip: str, attack: str) -> bool:
    return ATTACKS[attack].limit or attack in CLIPS[clip].limits


def _cell(cell: Cell) -> str:
    if cell.recovered:
        return f"{cell.reading.strength:.0f}"
    return "*mark*" if cell.reading.state in ("unreadable", "other") else "**no**"


def _quality(results: Results) -> list[str]:
    lines = [
        "## What it costs", "",
        "| clip | what | PSNR | lowest | lowest SSIM | ms a frame, least | more kbit/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for clip, one in results.quality.items():
        lines.append(
            f"| {clip} | {CLIPS[clip].words} | {one.psnr:.1f} | {one.least_psnr:.1f} | {one.ssim:.3f} "
            f"| {one.milliseconds:.1f} | {one.more:.0f} |"
        )
    return lines


def _false(results: Results) -> list[str]:
    lines = [
        "## Where there is no mark", "",
        "| read, all scales searched | ours | other install's | mark, unreadable | highest z |",
        "|---|---|---|---|---|",
    ]
    for words, one in (("single frames", results.single), ("clips of 6 frames", results.moving)):
        lines.append(f"| {one.read} {words} | {one.ours} | {one.other} | {one.unreadable} | {one.highest:.1f} |")
    lines += [
        "", "By design at most eight payloads are decoded per file and each passes the 24-bit check by chance once in "
        "2^24: one file in two million for each key, before the pilots are asked.",
    ]
    return lines


def _versions(results: Results) -> list[str]:
    said = subprocess.run([binary(), "-version"], capture_output=True, text=True, timeout=20).stdout
    reading = [cell.seconds for cell in results.cells.values()]
    return [
        f"Reading took {np.median(reading):.1f} s a file in the middle, {max(reading):.1f} s at most; everything "
        f"{results.minutes:.0f} minutes. One thread, {platform.machine()}, Python {platform.python_version()}, numpy "
        f"{np.__version__}, ffmpeg {said.split()[2] if said else 'unknown'}.",
    ]
