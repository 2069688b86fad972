"""The robustness table's script, on a small share of its clips and attacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.robustness import measure, unmarked
from tests.robustness.__main__ import main
from tests.robustness.attacks import ATTACKS
from tests.robustness.clips import CLIPS
from tests.robustness.quality import psnr, ssim
from tests.robustness.report import Results, page
from wan_app.media.marks.video_mark import VideoMarkReading

PAGE = Path(__file__).resolve().parents[2] / "wan_app" / "media" / "marks" / "ROBUSTNESS.md"


def test_the_quick_table(tmp_path: Path) -> None:
    """Every promise is kept on the app's own cartoon, by the app's encoder and ffmpeg's attacks."""
    out = tmp_path / "table.md"
    assert main(["--quick", "--clips", "talk", "--frames", "12", "--out", str(out)]) == 0
    written = out.read_text(encoding="utf-8")
    assert "**5 of 5 recovered, 0 more" in written and "| H.264 CRF 28 |" in written


def test_the_committed_table_is_whole() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert all(attack.words in written for attack in ATTACKS.values())
    assert all(f"| {name} | {clip.words} |" in written for name, clip in CLIPS.items())
    assert len(CLIPS) >= 8 and sum(not attack.limit for attack in ATTACKS.values()) >= 20


@pytest.mark.parametrize("state, identity", [("none", None), ("unreadable", None), ("ours", 7)])
def test_a_mark_that_is_lost_is_told(state: str, identity: int | None) -> None:
    reading = VideoMarkReading(state="ours", id=measure.IDENTITY, strength=15.0, frames=3)  # type: ignore[arg-type]
    quality = measure.Quality((3, 8, 8, 3), psnr=45, least_psnr=45, ssim=0.98, milliseconds=4, more=0)
    results = Results(frames=3, quality={"talk": quality}, cells={("talk", "blur"): measure.Cell(reading, 0.1)})
    assert results.kept() and "| 15 |" in page(results)
    lost = replace(reading, state=state, id=identity)  # type: ignore[arg-type]
    results.cells["talk", "blur"] = measure.Cell(lost, 0.1)
    assert not results.kept() and "| 15 |" not in page(results)


def test_a_false_positive_is_told() -> None:
    results = Results(frames=3)
    results.single.add(VideoMarkReading(state="other", id=None, strength=9.0, frames=1))
    assert not results.kept()


def test_unmarked_clips_differ_and_come_again() -> None:
    once, again = (list(unmarked.clips(11, 2, seed=1)) for _ in range(2))
    assert all(len(clip) == 2 and clip[0].dtype == np.uint8 and clip[0].shape[2] == 3 for clip in once)
    assert all((one[1] == other[1]).all() for one, other in zip(once, again))
    assert len({clip[0].tobytes() for clip in once}) == 11


def test_quality_is_measured_as_everyone_does() -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    assert psnr(grey, grey) == float("inf") and ssim(grey, grey) == 1.0
    assert psnr(grey, grey + 1) == pytest.approx(48.13, abs=0.01)
    noisy = (grey + np.random.default_rng(0).normal(0, 20, grey.shape)).clip(0, 255).astype(np.uint8)
    assert ssim(grey, noisy) < 0.5
