"""VACE from the command line to the MP4, with the tiny checkpoint given by --weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def generate(out: Path, weights: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    # The real row of the registry, so 256 is the smallest side; 5 frames the shortest clip.
    command = [sys.executable, "-m", "wan_app", "generate", *flags, "--model", "wan2.1-vace-1.3b"]
    command += ["--weights", str(weights), "--size", "256x256", "--seconds", "0.3", "--seed", "5"]
    command += ["--num-inference-steps", "1", "--out", str(out), "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("mode", ["text", "image", "reference"])
def test_each_mode_makes_a_video(tiny_vace_folder: Path, picture: Path, tmp_path: Path, mode: str) -> None:
    flags = {
        "text": [],
        "image": ["--image", str(picture), "--last-image", str(picture)],
        "reference": ["--face", str(picture), "--consent"],
    }[mode]
    out = tmp_path / "video.mp4"
    done = generate(out, tiny_vace_folder, mode, "--prompt", "character1 walks at night", *flags)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(result["file"]) == out and out.stat().st_size > 1000
    assert (result["model"], result["mode"], result["seed"]) == ("wan2.1-vace-1.3b", mode, 5)
    assert (result["num_frames"], result["fps"]) == (5, 16.0)
    assert result["width"] == result["height"] and result["width"] % 256 == 0


def test_a_broken_folder_exits_with_3_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{")
    done = generate(tmp_path / "video.mp4", tmp_path, "text", "--prompt", "a fox")
    assert done.returncode == 3 and done.stdout == ""
    assert "model_index.json" in done.stderr and done.stderr.count("\n") == 1
