"""The finished part of a long clip, kept on the disk and taken up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families.conftest import Recorder
from wan_app.errors import Cancelled
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.parts import windows
from wan_app.settings import ASSETS
from wan_app.types import GenerationRequest, Step

LONG = GenerationRequest(
    mode="text", prompt="a woman talks at home", model="pocket", width=96, height=96, num_frames=41, seconds=5.125,
    num_inference_steps=2, guidance_scale=1.0, seed=3,
)


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "job.pt"
    video = torch.randn(1, 4, 5, 2, 2)
    windows.keep(file, video=video, audio=torch.zeros(1, 2, 3))
    windows.keep(file, video=video, audio=torch.ones(1, 2, 3))
    found = windows.kept(file)
    assert torch.equal(found["video"], video) and bool(found["audio"].all())
    assert [one.name for one in file.parent.iterdir()] == ["job.pt"]


def test_nothing_and_half_a_file_are_nothing(tmp_path: Path) -> None:
    file = tmp_path / "job.pt"
    assert windows.kept(None) == windows.kept(file) == {}
    windows.keep(file, video=torch.zeros(100))
    file.write_bytes(file.read_bytes()[:-300])
    assert windows.kept(file) == {}
    torch.save([1, 2], file)
    assert windows.kept(file) == {}


def test_a_folder_that_takes_nothing_stops_no_clip(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    windows.keep(tmp_path / "file" / "job.pt", video=torch.zeros(1))
    windows.keep(None, video=torch.zeros(1))


class StopsAt(Recorder):
    """Cancels at a step, as a kill would."""

    def __init__(self, step: int, file: Path) -> None:
        super().__init__()
        self.step, self.windows = step, file

    def check(self) -> None:
        if self.events and isinstance(last := self.events[-1], Step) and last.index == self.step:
            raise Cancelled


def test_pocket_goes_on_at_its_last_window(tmp_path: Path) -> None:
    spec = registry.get("pocket")
    pipeline = registry.load(spec, Plan(device="cpu", cache=tmp_path), ASSETS / "pocket")
    whole = pipeline.generate(LONG, Recorder())
    file = tmp_path / "windows" / "job.pt"
    with pytest.raises(Cancelled):
        pipeline.generate(LONG, StopsAt(5, file))  # the first step of the third window
    second = Recorder()
    second.windows = file
    taken_up = pipeline.generate(LONG, second)
    assert [one.index for one in second.of(Step)] == [5, 6]
    assert np.array_equal(taken_up.frames, whole.frames) and np.array_equal(taken_up.audio, whole.audio)
    # Another size: not what was kept.
    third = Recorder()
    third.windows = file
    wide = pipeline.generate(GenerationRequest(**{**vars(LONG), "width": 160}), third)
    assert [one.index for one in third.of(Step)] == [1, 2, 3, 4, 5, 6] and wide.frames.shape[1:3] == (96, 160)
