"""Frames and sound read back from a file of ours; frames that come once, gone through twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.media.conftest import gradient, voice
from wan_app.errors import ExportFailed
from wan_app.media.frames import Decoded, read_frames
from wan_app.media.marks.marking import Marks
from wan_app.media.replay import replayable
from wan_app.media.video import export_video

OF = Decoded(width=96, height=64, channels=1)


@pytest.fixture
def file(tmp_path: Path, clip: np.ndarray, marks: Marks) -> Path:
    export_video(
        clip, tmp_path / "a.mp4", fps=8, metadata={}, marks=marks, audio=voice(2)[None], sample_rate=16_000, scale=1
    )
    return tmp_path / "a.mp4"


@pytest.mark.parametrize(("every", "count"), [(1, 9), (2, 5), (4, 3), (9, 1), (50, 1)])
def test_every_so_many_th_frame(file: Path, clip: np.ndarray, every: int, count: int) -> None:
    with read_frames(file, OF, every=every) as (frames, sound):
        seen = np.stack(list(frames))
        heard = sound()
    assert len(seen) == count
    assert np.abs(seen.astype(int) - clip[::every]).mean() < 4
    # To the sample but for the encoder's last block.
    assert heard is not None and heard.shape[0] == 1 and abs(heard.shape[1] - 54_000) < 1024


def test_frames_that_nobody_took_are_in_nobodys_way(file: Path) -> None:
    with read_frames(file, OF) as (frames, sound):
        next(frames)
        heard = sound()
    assert heard is not None
    with read_frames(file, Decoded(width=96, height=64)) as (frames, sound):
        next(frames)  # and gone
    with read_frames(file, Decoded(width=96, height=64)) as (_, sound):
        assert sound() is None


def test_a_damaged_file_is_told(file: Path) -> None:
    data = bytearray(file.read_bytes())
    place = data.index(b"mdat") + 400
    data[place:place + 3000] = bytes(3000)
    file.write_bytes(data)
    with pytest.raises(ExportFailed, match="cannot be decoded"), read_frames(file, OF) as (frames, sound):
        list(frames)
        sound()


def test_frames_of_an_array_are_not_written_down(tmp_path: Path, clip: np.ndarray) -> None:
    with replayable(clip, tmp_path / ".job.part") as frames:
        assert frames is clip


def test_frames_that_come_once_come_again(tmp_path: Path, clip: np.ndarray) -> None:
    coming = (gradient(96, 64, index) for index in range(9))
    with replayable(coming, tmp_path / ".job.part") as frames:
        for _ in range(3):
            assert np.array_equal(np.stack(list(frames)), clip)
        assert [one.name for one in tmp_path.iterdir()] == [".job.frames.part"]
    assert list(tmp_path.iterdir()) == []
