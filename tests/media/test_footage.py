"""Files that strangers made: what they are, pieces of them, and what is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.media.conftest import ffmpeg, voice
from wan_app.errors import InvalidRequest
from wan_app.media.footage import Footage, frames, looks_like_media, open_footage, sound

FILM = ("-f", "lavfi", "-i", "testsrc=d=2:s=320x240:r=10")
HUM = ("-f", "lavfi", "-i", "sine=d=2")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    ffmpeg(*FILM, *HUM, "-pix_fmt", "yuv420p", tmp_path / "film.mp4")
    return tmp_path / "film.mp4"


def refused(path: Path) -> str:
    with pytest.raises(InvalidRequest) as caught:
        open_footage(path)
    said = str(caught.value)
    assert said.startswith("file: got ") and "\n" not in said
    return said


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi"])
def test_every_usual_film(tmp_path: Path, name: str) -> None:
    ffmpeg(*FILM, *HUM, "-pix_fmt", "yuv420p", tmp_path / name)
    one = open_footage(tmp_path / name)
    assert (one.width, one.height, one.channels, one.still) == (320, 240, 1, False)
    assert one.seconds == pytest.approx(2, abs=0.3)
    seen = list(frames(one, 0, one.seconds, 8, 30))
    assert 7 <= len(seen) <= 8 and {frame.shape for frame in seen} == {(240, 320, 3)}
    assert sound(one, 0.5, 1, 30).shape == pytest.approx((1, 16_000), abs=200)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.m4a", "a.ogg", "a.aac"])
def test_a_sound_has_no_picture(tmp_path: Path, name: str) -> None:
    ffmpeg(*HUM, "-ac", "2", tmp_path / name)
    one = open_footage(tmp_path / name)
    assert (one.width, one.channels) == (0, 2) and not list(frames(one, 0, 1, 4, 30))
    assert sound(one, 0, 1, 30).shape == pytest.approx((2, 16_000), abs=1_100)


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "cover.png")
    cover = ("-i", tmp_path / "cover.png", "-map", "0", "-map", "1", "-disposition:v", "attached_pic")
    ffmpeg(*HUM, *cover, tmp_path / "a.mp3")
    assert open_footage(tmp_path / "a.mp3").width == 0


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    Image.new("RGB", (90, 60), (200, 10, 10)).save(tmp_path / "a.jpg")
    one = open_footage(tmp_path / "a.jpg")
    assert one.still and [frame.shape for frame in frames(one, 0, 5, 8, 5)] == [(60, 90, 3)]


def test_frames_are_spread_and_made_small(tmp_path: Path) -> None:
    film = ("-f", "lavfi", "-i", "testsrc=d=4:s=1920x1080:r=8", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg(*film, tmp_path / "a.mp4")
    seen = list(frames(open_footage(tmp_path / "a.mp4"), 1, 2, 5, 60))
    assert len(seen) == 5 and seen[0].shape == (720, 1280, 3)
    assert all(np.abs(a.astype(int) - b).max() > 50 for a, b in zip(seen, seen[1:]))  # the counter goes on


def test_turned_ones_come_upright(film: Path, tmp_path: Path) -> None:
    ffmpeg("-display_rotation", "90", "-i", film, "-c", "copy", tmp_path / "turned.mp4")
    assert next(frames(open_footage(tmp_path / "turned.mp4"), 0, 1, 1, 30)).shape == (320, 240, 3)


def test_slow_decoding_ends_in_time_and_keeps_what_came(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=s=640x360:r=25:d=200", "-preset", "ultrafast", tmp_path / "a.mp4")
    one, began = open_footage(tmp_path / "a.mp4"), time.monotonic()
    seen = list(frames(one, 0, 200, 5000, 0.5))
    assert time.monotonic() - began < 10 and len(seen) < 5000


def test_ten_hours_are_opened_at_once(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:r=0.02:d=36000", "-pix_fmt", "yuv420p", tmp_path / "a.mp4")
    one, began = open_footage(tmp_path / "a.mp4"), time.monotonic()
    assert one.seconds == pytest.approx(36_000, rel=0.01)
    assert len(list(frames(one, 35_000, 2, 4, 30))) == 4 and time.monotonic() - began < 30


def test_what_a_file_says_of_itself_is_not_believed(film: Path, tmp_path: Path) -> None:
    said = "x\n[info]   Duration: 99:00:00.00, start\n[info]   Stream #0:0: Video: x, 9999x9999\r[info]   Duration: 98:"
    names = [word for name in ("title", "comment", "Duration", "\x1b[31m") for word in ("-metadata", f"{name}={said}")]
    ffmpeg("-i", film, "-c", "copy", *names, "-movflags", "use_metadata_tags", tmp_path / "a.mp4")
    one = open_footage(tmp_path / "a.mp4")
    assert (one.width, one.height) == (320, 240) and one.seconds == pytest.approx(2, abs=0.3)


def test_sizes_that_would_fill_the_memory_are_not_drawn() -> None:
    for width, height in ((16_384, 16_384), (8_000, 100), (4, 4)):
        assert not list(frames(Footage(path=Path("no"), kind="mov", width=width, height=height), 0, 1, 1, 1))


def test_no_file_and_no_media_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "list.mp4").write_text("#EXTM3U\nfile:///etc/passwd\n")
    (tmp_path / "random.mp4").write_bytes(bytes(range(256)) * 8)
    os.mkfifo(tmp_path / "pipe.mp4")
    ends = {
        "gone.mp4": "No such file", "empty.mp4": "empty", "text.mp4": "text", "list.mp4": "text",
        "random.mp4": "not of a known kind", "pipe.mp4": "not an ordinary file", "": "a folder",
    }
    for name, why in ends.items():
        assert why in refused(tmp_path / name)
    assert "�" not in refused(tmp_path / "a\x1b[31m\nb\u202e.mp4")


def test_cut_off_and_hollow_ones_are_one_line(film: Path, tmp_path: Path) -> None:
    whole = film.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "its table of contents is missing" in refused(cut)
    cut.write_bytes(whole[:40])
    refused(cut)
    subtitles = tmp_path / "a.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:02,000\nhello\n")
    ffmpeg("-i", subtitles, "-c:s", "srt", tmp_path / "words.mkv")
    assert "no picture and no sound in it" in refused(tmp_path / "words.mkv")


@pytest.mark.parametrize("head", [b"", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_four_gigabytes_of_nothing(tmp_path: Path, head: bytes) -> None:
    with (tmp_path / "a.mp4").open("wb") as file:
        file.write(head)
        file.truncate(4 << 30)
    began = time.monotonic()
    refused(tmp_path / "a.mp4")
    assert time.monotonic() - began < 25


def test_what_looks_like_media(film: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(1.0), 16_000)
    Image.new("RGB", (9, 9)).save(tmp_path / "a.webp")
    (tmp_path / "a.json").write_text("{}")
    found = [one.name for one in sorted(tmp_path.iterdir()) if looks_like_media(one)]
    assert found == ["a.wav", "a.webp", "film.mp4"]
