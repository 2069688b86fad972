"""What every written file carries: marks read back from the file itself, credentials, a sidecar."""

from __future__ import annotations

import errno
import hashlib
import inspect
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.marking import marks_in, picture_id, sound_id
from tests.media.conftest import gradient, voice
from wan_app.errors import Cancelled, ExportFailed, StorageError
from wan_app.media import video
from wan_app.media.frames import Decoded, read_frames
from wan_app.media.label import Label
from wan_app.media.marks import marking
from wan_app.media.marks.credentials import read_credentials
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.marking import QUIET, Marks
from wan_app.media.marks.sidecars import find
from wan_app.media.video import export_video
from wan_app.media.wav import write_wav

RATE = 16_000


@pytest.fixture
def film() -> np.ndarray:
    """uint8 (9, 256, 320, 3)."""
    return np.stack([gradient(320, 256, index) for index in range(9)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def written(film: Any, folder: Path, marks: Marks, **options: Any) -> Path:
    export_video(film, folder / "a.mp4", fps=8, metadata={}, marks=marks, scale=1, **options)
    return folder / "a.mp4"


class Strengths:
    """Which strengths were written, where only so much is `seen` of the mark the first `weak` times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, weak: int, seen: float = 0.0) -> None:
        self.used: list[float] = []
        marker, read = marking.VideoMarker, marking.picture_strength

        def recorded(identity: int, key: bytes, *, strength: float) -> Any:
            self.used.append(strength)
            return marker(identity, key, strength=strength)

        def faint(frames: Iterator[np.ndarray], marks: Marks) -> float:
            return read(frames, marks) if len(self.used) > weak else seen

        monkeypatch.setattr(marking, "VideoMarker", recorded)
        monkeypatch.setattr(marking, "picture_strength", faint)


def test_marks_cannot_be_left_out() -> None:
    for writer in (export_video, write_wav):
        parameter = inspect.signature(writer).parameters["marks"]
        assert parameter.default is inspect.Parameter.empty
    with pytest.raises(TypeError, match="marks"):
        write_wav(voice()[None], RATE, Path("a.wav"))  # type: ignore[call-arg]


def test_all_three_marks_name_the_same_id(folder: Path, film: np.ndarray, marks: Marks) -> None:
    file = written(film, folder, marks, audio=voice(3)[None], sample_rate=RATE)
    said = marks.facts.watermark_id
    read = read_credentials(file, marks.keys)
    assert (read.state, read.ours, read.watermark_id) == ("valid", True, said)
    assert picture_id(file, marks.keys) == said
    assert sound_id(file, marks.keys) == said[2:]
    assert [one.name for one in folder.iterdir()] == ["a.mp4"]


def test_another_installs_keys_read_none_of_them_as_ours(
    folder: Path, film: np.ndarray, marks: Marks, tmp_path: Path
) -> None:
    file = written(film, folder, marks, audio=voice(3)[None], sample_rate=RATE)
    others = InstallKeys.open(tmp_path / "others")
    assert picture_id(file, others) is None and sound_id(file, others) is None
    read = read_credentials(file, others)
    assert read.state == "valid" and not read.ours


def test_a_sound_alone(folder: Path, marks: Marks) -> None:
    _, notes = write_wav(voice(3)[None], RATE, folder / "a.wav", marks=marks)
    assert notes == () and sound_id(folder / "a.wav", marks.keys) == marks.facts.watermark_id[2:]
    assert read_credentials(folder / "a.wav", marks.keys).ours
    assert [one.name for one in folder.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("name", ["a.mp4", "a.wav"])
def test_a_sidecar_leads_back(folder: Path, film: np.ndarray, marks: Marks, name: str) -> None:
    file = folder / name
    if name == "a.wav":
        write_wav(voice(3)[None], RATE, file, marks=marks)
    else:
        written(film, folder, marks)
    found = find(marks.sidecars, marks.facts.watermark_id)
    assert found and found.record["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.record["file"] == name and found.record["model"] == "pocket"
    assert found.store and marks.facts.watermark_id.encode() in found.store


def test_silence_is_said_to_carry_none(folder: Path, film: np.ndarray, marks: Marks) -> None:
    silence = np.zeros((1, RATE), np.float32)
    facts = export_video(
        film, folder / "a.mp4", fps=8, metadata={}, marks=marks, audio=silence, sample_rate=RATE, scale=1
    )
    _, notes = write_wav(silence, RATE, folder / "a.wav", marks=marks)
    assert facts.notes == notes == (QUIET,)
    for name in ("a.mp4", "a.wav"):
        read = read_credentials(folder / name, marks.keys)
        assert read.ours and "audio_mark" not in str(read.manifest["assertions"])


def test_the_label_lies_under_the_mark(folder: Path, film: np.ndarray, marks: Marks) -> None:
    file = written(film, folder, replace(marks, label=Label("corner")))
    with read_frames(file, Decoded(width=320, height=256)) as (frames, _):
        first = next(frames).astype(int)
    changed = np.abs(first - film[0]).max(axis=2) > 60
    assert changed[:40, 200:].any() and not changed[60:].any()
    assert picture_id(file, marks.keys) == marks.facts.watermark_id


# --- Read back, and written again ------------------------------------------------------------


@pytest.mark.parametrize(("weak", "seen"), [(0, 0.0), (1, marking.ENOUGH - 1), (2, 0.0)])
def test_a_weak_mark_is_written_again_stronger(
    folder: Path, film: np.ndarray, marks: Marks, monkeypatch: pytest.MonkeyPatch, weak: int, seen: float
) -> None:
    strengths = Strengths(monkeypatch, weak, seen)
    facts = export_video(film, folder / "a.mp4", fps=8, metadata={}, marks=marks, scale=1)
    assert tuple(strengths.used) == marking.PICTURE_STRENGTHS[: weak + 1]
    assert facts.num_frames == 9 and picture_id(folder / "a.mp4", marks.keys) == marks.facts.watermark_id
    assert [one.name for one in folder.iterdir()] == ["a.mp4"]


def test_a_mark_that_stays_weak_is_better_than_no_file(
    folder: Path, film: np.ndarray, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    strengths = Strengths(monkeypatch, 99, marking.ENOUGH - 1)
    written(film, folder, marks)
    assert tuple(strengths.used) == marking.PICTURE_STRENGTHS


def test_what_carries_no_mark_is_not_delivered(
    folder: Path, film: np.ndarray, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    strengths = Strengths(monkeypatch, 99)
    (folder / "a.mp4").write_bytes(b"the last one")
    with pytest.raises(ExportFailed, match="mark cannot be read back"):
        written(film, folder, marks)
    assert len(strengths.used) == 3 and (folder / "a.mp4").read_bytes() == b"the last one"
    assert [one.name for one in folder.iterdir()] == ["a.mp4"] and list(marks.sidecars.iterdir()) == []


def test_frames_that_come_once_can_be_written_again(
    folder: Path, film: np.ndarray, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    Strengths(monkeypatch, 2)
    facts = export_video(iter(film), folder / "a.mp4", fps=8, metadata={}, marks=marks, scale=1)
    assert facts.num_frames == len(film)
    assert picture_id(folder / "a.mp4", marks.keys) == marks.facts.watermark_id
    assert [one.name for one in folder.iterdir()] == ["a.mp4"]


def test_a_sound_whose_mark_the_encoder_wiped_out_is_made_stronger_then_given_up(
    folder: Path, film: np.ndarray, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    mark = marking.mark_audio

    def recorded(*arguments: Any, strength: float) -> np.ndarray:
        asked.append(strength)
        return mark(*arguments, strength=strength)

    def deaf(part: Path, wanted: Any, sound: marking.MarkedSound, *_: Any) -> tuple[float, bool]:
        return 99.0, not sound.marked

    monkeypatch.setattr(marking, "mark_audio", recorded)
    monkeypatch.setattr(marking, "_read_back", deaf)
    facts = export_video(
        film, folder / "a.mp4", fps=8, metadata={}, marks=marks, audio=voice(3)[None], sample_rate=RATE, scale=1
    )
    assert tuple(asked) == marking.SOUND_STRENGTHS and facts.notes == (QUIET,)
    assert sound_id(folder / "a.mp4", marks.keys) is None


def test_the_sound_stays_as_loud(folder: Path, marks: Marks) -> None:
    sent = voice(3)[None]
    marked = marking.marked_sound(sent, RATE, marks).samples
    assert marked is not None and not np.array_equal(marked, sent)
    assert marked.std() == pytest.approx(sent.std(), rel=0.02) and np.abs(marked).max() <= 1.0


# --- Whatever goes wrong, nothing is left ----------------------------------------------------


def test_a_full_disk_while_it_is_signed(
    folder: Path, film: np.ndarray, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(video, "sign", full)
    with pytest.raises(StorageError, match="^out: .*needed free space"):
        written(film, folder, marks)
    assert list(folder.iterdir()) == [] and list(marks.sidecars.iterdir()) == []


def test_no_room_for_the_sidecar(folder: Path, film: np.ndarray, marks: Marks, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="^data_dir: got "):
        written(film, folder, replace(marks, sidecars=tmp_path / "file" / "sidecars"))
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_get_its_name_leaves_no_sidecar(
    folder: Path, film: np.ndarray, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = os.replace

    def refused(source: Any, target: Any) -> None:
        if Path(target) == folder / "a.mp4":
            raise OSError(errno.EACCES, "Permission denied")
        move(source, target)

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(StorageError, match="^out: "):
        written(film, folder, marks)
    assert list(folder.iterdir()) == [] and list(marks.sidecars.iterdir()) == []


def test_cancelled_while_it_is_read_back(folder: Path, film: np.ndarray, marks: Marks) -> None:
    class Report:
        reading = False

        def __call__(self, event: Any) -> None:
            raise AssertionError

        def check(self) -> None:
            # All frames are written (9 checks, and those of the encoder's end); the next is of the reading.
            frame = inspect.currentframe()
            assert frame and frame.f_back
            if frame.f_back.f_code.co_name == "_checked":
                Report.reading = True
                raise Cancelled

    with pytest.raises(Cancelled):
        written(film, folder, marks, report=Report())
    assert Report.reading and list(folder.iterdir()) == [] and list(marks.sidecars.iterdir()) == []


@pytest.mark.parametrize(
    "film", [iter(()), [gradient(320, 256, index) for index in range(3)]], ids=["no frames", "a list"]
)
def test_every_growing_file_is_known_by_its_stem(
    folder: Path, film: Any, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whoever finds a killed worker can remove what it left: all begin as the part file does."""
    seen: set[str] = set()
    make, sign, deliver = video._write, video.sign, video.deliver

    def look(step: Any) -> Any:
        def looked(*arguments: Any, **options: Any) -> Any:
            try:
                return step(*arguments, **options)
            finally:
                seen.update(one.name for one in folder.iterdir())
        return looked

    for name, step in (("_write", make), ("sign", sign), ("deliver", deliver)):
        monkeypatch.setattr(video, name, look(step))
    try:
        written(film, folder, marks, part=folder / ".job.part", audio=voice(1)[None], sample_rate=RATE)
    except ExportFailed:
        assert "frames" in "".join(seen)
    assert seen and all(name.startswith(".job.") or name == "a.mp4" for name in seen)


def test_two_files_never_share_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0000000001.c2pa").touch()
    ids = iter([1, 1, 2])
    monkeypatch.setattr(marking, "new_id", lambda: marking.WatermarkId(next(ids)))
    assert marks_in(tmp_path).facts.watermark_id == "0000000002"
