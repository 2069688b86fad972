"""`make bench-gpu` at toy size: what it writes, how it extrapolates, what it does when time is short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import bench_gpu, bench_steps
from .bench_steps import TOY, Variant, extrapolated, forward_tflop

FEW = (Variant(peer=True), Variant(), Variant("nf4"), Variant("fp8"), Variant(compiled=True, offloaded=True))


def run(tmp_path: Path, *arguments: str) -> dict:  # type: ignore[type-arg]
    out = tmp_path / "found.json"
    bench_gpu.main(["--toy", "--out", str(out), *arguments])
    return dict(json.loads(out.read_text()))


def test_the_toy_runs_every_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gpu, "VARIANTS", FEW)
    found = run(tmp_path)
    rows = {(row["model"], row["variant"]): row for row in found["rows"]}
    assert len(rows) == len(TOY) * len(FEW)
    for row in rows.values():
        if "nf4" in row["variant"] and found["machine"]["device"] == "cpu":
            assert "No GPU" in row["not_measured"] and row["step_seconds"] is None
        else:
            assert row["points"] and not row["not_measured"], row
    assert [one["layout"] for one in found["decoding"]] == 2 * list(bench_gpu.LAYOUTS)
    assert all(one["seconds"] > 0 for one in found["decoding"])
    assert found["check"]["seconds"] > 0 and set(found["ceiling_tflops"]) == {one.name for one in TOY}
    assert (tmp_path / "found.md").read_text().count("\n") == len(rows) + 2


def test_no_time_left_is_told_and_nothing_hangs(tmp_path: Path) -> None:
    found = run(tmp_path, "--minutes", "0")
    assert {row["not_measured"] for row in found["rows"]} == {"no time left"}


def test_without_a_card_the_real_shapes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA card"):
        bench_gpu.main(["--out", str(tmp_path / "found.json")])


def test_two_points_make_a_line() -> None:
    points = [{"blocks": 2, "seconds": 5.0}, {"blocks": 6, "seconds": 13.0}]
    assert extrapolated(points, "seconds", 40) == 81.0
    assert extrapolated(points[:1], "seconds", 40) == 5.0


@pytest.mark.parametrize(("index", "published"), [(0, 283.0), (1, 6523.0)])
def test_the_arithmetic_is_that_of_the_true_shapes(index: int, published: float) -> None:
    """Figures computed by hand from the architecture (notes/performance.md)."""
    one = bench_steps.REAL[index]
    assert forward_tflop(one, one.blocks) == pytest.approx(published, rel=0.01)
