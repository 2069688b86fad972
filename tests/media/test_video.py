"""The MP4 writer: what is asked for is in the file, or there is no file and one clear line."""

from __future__ import annotations

import errno
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from tests.media.conftest import gradient
from wan_app.errors import Cancelled, ExportFailed, InvalidRequest, StorageError
from wan_app.media import encoder, video
from wan_app.media.marks.marking import SMALL, Marks
from wan_app.media.video import VideoFacts, export_video, read_metadata
from wan_app.types import AudioInfo, JobEvent

REQUEST = {"request": {"prompt": "a fox", "seed": 7}, "app_version": "0.1.0"}


def decoded(file: Path) -> np.ndarray:
    """uint8 (num_frames, height, width, 3), by imageio-ffmpeg's own reader."""
    reader = imageio_ffmpeg.read_frames(str(file))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def boxes(file: Path) -> list[str]:
    """Names of the MP4's outermost boxes in order."""
    data, place, names = file.read_bytes(), 0, []
    while place < len(data):
        names.append(data[place + 4:place + 8].decode())
        place += int.from_bytes(data[place:place + 4], "big")
    return names


def described(file: Path) -> str:
    """What ffmpeg says about the file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(file)]
    return subprocess.run(command, capture_output=True, text=True).stderr


class CancelAt:
    """A reporter whose user presses Cancel at the given check."""

    def __init__(self, check: int) -> None:
        self.left = check

    def __call__(self, event: JobEvent) -> None:
        raise AssertionError(f"an export reports nothing, got {event}")

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_size_count_rate_and_colours(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    out = tmp_path / "clip.mp4"
    facts = export_video(clip, out, fps=8, metadata=REQUEST, marks=marks, scale=1)
    assert facts == VideoFacts(width=96, height=64, num_frames=9, fps=8.0, seconds=9 / 8, notes=(SMALL,))
    read = decoded(out)
    assert read.shape == clip.shape
    # A wrong matrix or range would be off by ten levels and more.
    assert np.abs(read.astype(int) - clip).mean() < 3
    assert list(tmp_path.iterdir()) == [out]


def test_it_plays_anywhere_while_it_loads(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    out = tmp_path / "clip.mp4"
    export_video(clip, out, fps=8, metadata=REQUEST, marks=marks)
    names = boxes(out)
    assert names.index("moov") < names.index("mdat") and "moof" not in names
    said = described(out)
    assert "Video: h264 (High)" in said and "yuv420p(tv, bt709," in said
    assert "Audio:" not in said


@pytest.mark.parametrize(
    ("size", "written"), [((128, 128), (512, 512)), ((160, 96), (960, 576)), ((832, 480), (832, 480))]
)
def test_small_clips_are_enlarged(
    tmp_path: Path, size: tuple[int, int], written: tuple[int, int], marks: Marks
) -> None:
    clip = np.stack([gradient(*size, index) for index in range(5)])
    facts = export_video(clip, tmp_path / "clip.mp4", fps=8, metadata=REQUEST, marks=marks)
    assert (facts.width, facts.height, facts.num_frames) == (*written, 5)
    smooth = decoded(tmp_path / "clip.mp4")[2].astype(int)
    assert np.abs(smooth - gradient(*written, 2)).mean() < 4


@pytest.mark.parametrize("fps", [16, 24, 29.97, 24000 / 1001])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_rate_and_count_is_exact(
    tmp_path: Path, clip: np.ndarray, fps: float, count: int, marks: Marks
) -> None:
    facts = export_video(clip[:count], tmp_path / "clip.mp4", fps=fps, metadata=REQUEST, marks=marks, scale=1)
    assert facts.num_frames == count
    assert facts.fps == pytest.approx(fps, rel=1e-5)


@pytest.mark.parametrize("samples", [800, 24_000, 100_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_as_long_as_the_picture(
    tmp_path: Path, clip: np.ndarray, channels: int, samples: int, marks: Marks
) -> None:
    tone = 0.5 * np.sin(np.arange(samples) * 2 * np.pi * 440 / 24_000).astype(np.float32)
    audio = np.stack([tone] * channels)
    audio[0, 10] = np.nan
    facts = export_video(
        clip, tmp_path / "clip.mp4", fps=8, audio=audio, sample_rate=24_000, metadata=REQUEST, marks=marks, scale=1,
    )
    assert facts.num_frames == 9
    assert facts.audio is not None
    measured = replace(facts.audio, loudness=None)
    assert measured == AudioInfo(sample_rate=48_000, channels=channels, seconds=9 / 8, offset=0.0)
    assert "Audio: aac (LC)" in described(tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == [tmp_path / "clip.mp4"]


def test_sound_is_heard(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    tone = 0.5 * np.sin(np.arange(24_000) * 2 * np.pi * 440 / 24_000).astype(np.float32)
    out = tmp_path / "clip.mp4"
    export_video(clip, out, fps=8, audio=tone[None], sample_rate=24_000, metadata=REQUEST, marks=marks, scale=1)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(out), "-f", "f32le", "-"]
    heard = np.frombuffer(subprocess.run(command, capture_output=True).stdout, np.float32)
    spectrum = np.abs(np.fft.rfft(heard[:48_000]))
    assert abs(int(spectrum.argmax()) - 440) <= 2
    # The mark turns a pure tone by up to 1.1 dB (60 keys tried): .75 to 1.25 still sees a wrong scale.
    assert heard[4_800:43_200].std() == pytest.approx(0.5 / 2**0.5, rel=0.25)


def test_frames_are_taken_one_at_a_time(tmp_path: Path, marks: Marks) -> None:
    made: list[weakref.ref[np.ndarray]] = []
    most = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal most
        for index in range(30):
            frame = gradient(64, 64, index)
            made.append(weakref.ref(frame))
            most = max(most, sum(one() is not None for one in made))
            yield frame

    facts = export_video(frames(), tmp_path / "clip.mp4", fps=8, metadata=REQUEST, marks=marks, scale=1)
    assert facts.num_frames == 30
    assert most <= 4


@pytest.mark.parametrize(
    "prompt",
    [
        "🦊" * 1500,
        "a \"fox\" 'n' \\ a = hen; # no comment\n[chapter]\r\n\ttitle=x",
        "שלום 👩\u200d🚀",
        "%d %s $HOME `ls`",
    ],
)
def test_the_request_comes_back_as_it_was(
    tmp_path: Path, clip: np.ndarray, prompt: str, marks: Marks
) -> None:
    metadata = {"request": {"prompt": prompt, "seed": 2**31 - 1, "image": None, "n": [1.5, True]}}
    export_video(clip[:1], tmp_path / "clip.mp4", fps=8, metadata=metadata, marks=marks, scale=1)
    assert read_metadata(tmp_path / "clip.mp4") == metadata


def test_metadata_survives_a_copy_by_ffmpeg(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    export_video(clip, tmp_path / "clip.mp4", fps=8, metadata=REQUEST, marks=marks)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "clip.mp4"), "-c", "copy"]
    subprocess.run([*command, str(tmp_path / "copy.mp4")], check=True)
    assert read_metadata(tmp_path / "copy.mp4") == REQUEST


def test_files_without_our_request(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.mp4"
    make = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "testsrc=d=0.2:s=64x64"]
    subprocess.run([*make, "-metadata", 'comment={"prompt": "x"}', str(foreign)], check=True)
    (tmp_path / "text.mp4").write_text("comment=wan_app/1 {}\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    others = [tmp_path / name for name in ("text.mp4", "empty.mp4", "", "none.mp4", "nul\0")]
    for file in (foreign, *others):
        with pytest.raises(InvalidRequest, match="^from: got .*; needed a video made by this app"):
            read_metadata(file)


@pytest.mark.parametrize("check", [0, 3, 17, 18])
def test_cancel_leaves_nothing_and_no_process(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, check: int, marks: Marks
) -> None:
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"the last one")
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def recorded(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(encoder.subprocess, "Popen", recorded)
    with pytest.raises(Cancelled):
        export_video(np.concatenate([clip] * 2), out, fps=8, metadata=REQUEST, marks=marks, report=CancelAt(check))
    assert out.read_bytes() == b"the last one"
    assert list(tmp_path.iterdir()) == [out]
    assert all(process.returncode is not None for process in started)
    # Stopped at once, not left to finish; after the last frame it may have been quicker than we.
    assert started[0].returncode != 0 or check == 18


def test_cancel_while_it_is_measured(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, marks: Marks
) -> None:
    reporter = CancelAt(1000)
    probe = video.probe

    def probe_then_cancel(part: Path, sent: np.ndarray | None) -> VideoFacts:
        reporter.left = 0
        return probe(part, sent)

    monkeypatch.setattr(video, "probe", probe_then_cancel)
    with pytest.raises(Cancelled):
        export_video(clip, tmp_path / "clip.mp4", fps=8, metadata=REQUEST, marks=marks, report=reporter)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 200])
def test_disk_full(
    tmp_path: Path, clip: np.ndarray, full_disk: Path, monkeypatch: pytest.MonkeyPatch, count: int, marks: Marks
) -> None:
    @contextmanager
    def on_the_full_disk(*_: Path | None) -> Iterator[Path]:
        yield full_disk

    monkeypatch.setattr(video, "part_beside", on_the_full_disk)
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"the last one")
    noise = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    with pytest.raises(StorageError, match=r"^out: .*clip.mp4 \(No space left .*needed free space"):
        export_video(noise, out, fps=8, metadata=REQUEST, marks=marks, scale=1)
    assert out.read_bytes() == b"the last one"


def test_disk_full_while_the_sound_is_put_down(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, marks: Marks
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="needed free space"):
        export_video(
            clip, tmp_path / "a.mp4", fps=8, metadata=REQUEST, marks=marks,
            audio=np.zeros((1, 10), np.float32), sample_rate=8000,
        )
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, marks: Marks) -> None:
    def frames() -> Iterator[np.ndarray]:
        raise AssertionError("no frame may be taken")
        yield

    with pytest.raises(StorageError, match="needed a folder that exists"):
        export_video(frames(), tmp_path / "missing" / "a.mp4", fps=8, metadata=REQUEST, marks=marks)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((0, 64, 64, 3), np.uint8), "no frames"),
        (np.zeros((5, 63, 65, 3), np.uint8), "65x63; both sides must be even"),
        (np.zeros((5, 64, 64, 3), np.float32), "float32"),
        (np.zeros((5, 64, 64, 4), np.uint8), r"\(64, 64, 4\)"),
        ([np.zeros((64, 64, 3), np.uint8), np.zeros((64, 32, 3), np.uint8)], "among frames of"),
    ],
)
def test_wrong_frames(tmp_path: Path, frames: Any, said: str, marks: Marks) -> None:
    with pytest.raises(ExportFailed, match=said):
        export_video(frames, tmp_path / "a.mp4", fps=8, metadata=REQUEST, marks=marks, scale=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(10,), (3, 10), (1, 0)])
def test_wrong_sound(tmp_path: Path, clip: np.ndarray, shape: tuple[int, ...], marks: Marks) -> None:
    audio = np.zeros(shape, np.float32)
    with pytest.raises(ExportFailed, match="sound is"):
        export_video(clip, tmp_path / "a.mp4", fps=8, audio=audio, sample_rate=8000, metadata=REQUEST, marks=marks)


def test_ffmpegs_last_words_are_passed_on(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, marks: Marks
) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho first >&2\necho 'x264 is unwell' >&2\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setattr(encoder, "binary", lambda: str(broken))
    with pytest.raises(ExportFailed, match="code 3: x264 is unwell$"):
        export_video(np.concatenate([clip] * 9), tmp_path / "a.mp4", fps=8, metadata=REQUEST, marks=marks)
    monkeypatch.setattr(encoder, "binary", lambda: str(tmp_path / "none"))
    with pytest.raises(ExportFailed, match="could not be started"):
        export_video(clip, tmp_path / "a.mp4", fps=8, metadata=REQUEST, marks=marks)


def test_a_file_that_is_not_what_was_asked_for_is_not_delivered(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, marks: Marks
) -> None:
    other = VideoFacts(width=96, height=64, num_frames=8, fps=8.0, seconds=1.0)
    monkeypatch.setattr(video, "probe", lambda *_: other)
    with pytest.raises(ExportFailed, match="holds 8 frames of 96x64 .*needed 9 frames"):
        export_video(clip, tmp_path / "a.mp4", fps=8, metadata=REQUEST, marks=marks, scale=1)
    assert list(tmp_path.iterdir()) == []


def test_a_playlist_opens_no_other_file(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    export_video(clip, tmp_path / "clip.mp4", fps=8, metadata=REQUEST, marks=marks)
    playlist = tmp_path / "list.mp4"
    playlist.write_text("ffconcat version 1.0\nfile clip.mp4\n")
    with pytest.raises(ExportFailed, match="cannot be decoded"):
        video.probe(playlist)


def test_a_damaged_file_is_noticed(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    out = tmp_path / "clip.mp4"
    export_video(clip, out, fps=8, metadata=REQUEST, marks=marks)
    out.write_bytes(out.read_bytes()[:-2000])
    with pytest.raises(ExportFailed, match="cannot be decoded|no picture"):
        video.probe(out)
