"""What is checked on every written file: wrong pictures fail, odd ones are said, nights and still rooms pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.media.conftest import gradient, voice
from wan_app.errors import ExportFailed
from wan_app.media import video
from wan_app.media.encoder import Encoder
from wan_app.media.looks import glance, stillness
from wan_app.media.marks.marking import Marks
from wan_app.media.probe import VideoFacts, probe
from wan_app.media.truth import told
from wan_app.media.video import export_video

SIZE = (320, 192)


def walk(count: int = 16, *, back: int = 90, front: int = 220) -> np.ndarray:
    """uint8 (count, 192, 320, 3): a square that crosses a plain."""
    frames = np.full((count, SIZE[1], SIZE[0], 3), back, np.uint8)
    for index in range(count):
        place = 20 + index * 240 // count
        frames[index, 70:120, place:place + 50] = front
    return frames


def night(count: int = 12) -> np.ndarray:
    """Stars on black, and one that falls: nothing of it fills a cell of a glance."""
    frames = np.zeros((count, SIZE[1], SIZE[0], 3), np.uint8)
    stars = np.random.default_rng(3).integers(0, (SIZE[1], SIZE[0]), (60, 2))
    frames[:, stars[:, 0], stars[:, 1]] = 210
    for index in range(count):
        frames[index, 30 + 5 * index, 40 + 8 * index] = 255
    return frames


def room(count: int = 12) -> np.ndarray:
    """A wall in daylight that a camera saw: nothing moves but its noise."""
    dice = np.random.default_rng(5)
    wall = gradient(*SIZE).astype(float)
    return np.stack([(wall + dice.normal(0, 2, wall.shape)).clip(0, 255).astype(np.uint8) for _ in range(count)])


def written(frames: Any, folder: Path, marks: Marks, **options: Any) -> VideoFacts:
    return export_video(frames, folder / "a.mp4", fps=8, metadata={}, marks=marks, scale=1, **options)


def said(facts: VideoFacts) -> dict[str, str]:
    return {one.name: one.said for one in facts.checks}


def test_everything_is_told(tmp_path: Path, marks: Marks) -> None:
    facts = written(walk(), tmp_path, marks, audio=voice(2.0)[None], sample_rate=16_000)
    assert all(one.good for one in facts.checks)
    assert said(facts) == {
        "frames": "16 frames of 320 × 192, none missing",
        "duration": "2 s at a steady 8 frames a second",
        "sound": "2 s of sound, in step with the picture",
        "picture": "Every frame is the one that was made; none is black, and the picture moves",
        "mark": "The invisible mark was read back from the picture and the sound; the signature holds",
    }


def test_a_silent_sound_carries_no_mark_and_says_so(tmp_path: Path, marks: Marks) -> None:
    facts = written(walk(), tmp_path, marks, audio=np.zeros((1, 16_000), np.float32), sample_rate=16_000)
    mark = next(one for one in facts.checks if one.name == "mark")
    assert not mark.good and "from the picture, not from the sound" in mark.said


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (np.zeros((8, 192, 320, 3), np.uint8), "every frame that the model made is black"),
        (np.full((8, 192, 320, 3), 128, np.uint8), "of one colour"),
        (np.stack([np.full((192, 320, 3), 20 * index, np.uint8) for index in range(8)]), "of one colour"),
        (np.stack([gradient(*SIZE)] * 8), "nothing moves: all 8 frames"),
    ],
    ids=["black", "grey", "flat, changing", "one picture"],
)
def test_what_no_model_means_to_make_is_not_delivered(
    tmp_path: Path, marks: Marks, frames: np.ndarray, why: str
) -> None:
    with pytest.raises(ExportFailed, match=why):
        written(frames, tmp_path, marks)
    assert list(tmp_path.iterdir()) == []


def test_a_dark_night_passes(tmp_path: Path, marks: Marks) -> None:
    facts = written(night(), tmp_path, marks)
    assert said(facts)["picture"] == "Dark throughout"


def test_a_still_room_passes(tmp_path: Path, marks: Marks) -> None:
    assert said(written(room(), tmp_path, marks))["picture"] == "Hardly anything moves in it"


def test_a_picture_that_never_moved_but_for_rounding_does_not(tmp_path: Path, marks: Marks) -> None:
    frames = np.stack([gradient(*SIZE) // 2 + 20 + np.uint8(index % 2) for index in range(8)])
    with pytest.raises(ExportFailed, match="nothing moves"):
        written(frames, tmp_path, marks)


def test_black_and_a_pause_are_said(tmp_path: Path, marks: Marks) -> None:
    frames = walk(32)
    frames[4:8] = 0
    frames[16:] = frames[16]
    facts = written(frames, tmp_path, marks)
    odd = [one for one in facts.checks if one.name == "picture"]
    assert [one.said for one in odd] == ["Black from 0.5 s to 1.0 s", "Nothing moves from 2.0 s to 4.0 s"]
    assert not any(one.good for one in odd)


def test_one_frame_is_no_pause(tmp_path: Path, marks: Marks) -> None:
    assert said(written(walk(1), tmp_path, marks))["picture"] == "The frame is the one that was made"


class Tampered(Encoder):
    """An encoder that does `change` to the number and the bytes of each frame; a list of what it writes instead."""

    change: Any

    def write(self, frame: bytes) -> None:
        self.index = getattr(self, "index", -1) + 1
        for one in type(self).change(self, self.index, frame):
            super().write(one)


def swapped(self: Any, index: int, frame: bytes) -> list[bytes]:
    """Black in place of frame 6."""
    return [bytes(len(frame))] if index == 6 else [frame]


def late(self: Any, index: int, frame: bytes) -> list[bytes]:
    """Every frame a place later, the first one twice, the last one never."""
    before, self.before = getattr(self, "before", frame), frame
    return [before]


def frozen(self: Any, index: int, frame: bytes) -> list[bytes]:
    """The first frame again and again."""
    self.before = getattr(self, "before", frame)
    return [self.before]


def red_for_blue(self: Any, index: int, frame: bytes) -> list[bytes]:
    return [np.frombuffer(frame, np.uint8).reshape(-1, 3)[:, ::-1].tobytes()]


@pytest.mark.parametrize(
    ("change", "why"),
    [(swapped, "frame 7 .*another picture"), (late, "a frame too late"), (frozen, "stands still"),
     (red_for_blue, "another picture")],
)
def test_a_file_that_shows_something_else_is_not_delivered(
    tmp_path: Path, marks: Marks, monkeypatch: pytest.MonkeyPatch, change: Any, why: str
) -> None:
    monkeypatch.setattr(Tampered, "change", change, raising=False)
    monkeypatch.setattr(video, "Encoder", Tampered)
    frames = walk()
    frames[..., 2] //= 3
    with pytest.raises(ExportFailed, match=why):
        written(frames, tmp_path, marks)
    assert list(tmp_path.iterdir()) == []


def test_ffmpeg_glances_as_we_do(tmp_path: Path, marks: Marks) -> None:
    """Both ways of shrinking a frame agree, whatever its size: else what was sent could not be compared."""
    for size in ((320, 192), (250, 178), (64, 48)):
        frames = np.stack([gradient(*size, index) for index in range(3)])
        export_video(frames, tmp_path / "a.mp4", fps=8, metadata={}, marks=marks, scale=1)
        seen = probe(tmp_path / "a.mp4").glances
        assert seen is not None and seen.shape == (3, *glance(frames[0]).shape)
        assert np.abs(seen[1].astype(int) - glance(frames[1])).mean() < 3


def test_stretches() -> None:
    glances = np.zeros((7, 2, 2, 3), np.uint8)
    glances[3:] = 50
    glances[6] = 90
    assert stillness(glances) == [(0, 2), (3, 5)]
    drifting = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert all(last - first <= 4 for first, last in stillness(drifting)), "a slow fade is no pause"


def test_measured_without_sound_and_glances() -> None:
    facts = VideoFacts(width=64, height=64, num_frames=9, fps=8.0, seconds=9 / 8)
    lines = told(facts, picture_marked=False, sound_marked=False)
    assert [one.name for one in lines] == ["frames", "duration", "sound", "mark"]
    assert [one.good for one in lines] == [True, True, True, False]
