"""Inputs are kept by content: equal ones once, nothing of the upload but its pixels or samples."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.media.conftest import ffmpeg, voice
from wan_app.errors import InvalidRequest, StorageError
from wan_app.media import inputs, sound
from wan_app.media.inputs import Checked, InputStore
from wan_app.media.sound import read_soundtrack, read_voice
from wan_app.types import GenerationRequest


def keep_picture(store: InputStore, path: Path, field: str) -> Path:
    return kept(store, store.picture(path, field))


def keep_voice(store: InputStore, path: Path, field: str = "voice") -> tuple[Path, tuple[str, ...]]:
    checked = store.voice(path, field)
    return kept(store, checked), checked.repairs


def keep_soundtrack(store: InputStore, path: Path) -> tuple[Path, tuple[str, ...]]:
    checked = store.soundtrack(path)
    return kept(store, checked), checked.repairs


def kept(store: InputStore, checked: Checked) -> Path:
    with store.keeping([checked]):
        return checked.path


@pytest.fixture
def store(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "data" / "inputs")


def test_equal_pixels_are_kept_once(tmp_path: Path, store: InputStore, picture: Image.Image) -> None:
    picture.save(tmp_path / "one.png")
    picture.save(tmp_path / "two.bmp")
    kept = keep_picture(store, tmp_path / "one.png", "image")
    assert keep_picture(store, tmp_path / "two.bmp", "face") == kept
    assert keep_picture(store, kept, "image") == kept
    assert list(store.folder.iterdir()) == [kept]
    with Image.open(kept) as read:
        assert read.format == "PNG" and read.tobytes() == picture.tobytes()


def test_another_shape_of_the_same_bytes_is_another_picture(tmp_path: Path, store: InputStore) -> None:
    for name, size in (("wide.png", (64, 32)), ("tall.png", (32, 64))):
        Image.new("RGB", size, "teal").save(tmp_path / name)
    kept = {keep_picture(store, tmp_path / name, "image") for name in ("wide.png", "tall.png")}
    assert len(kept) == 2


def test_nothing_but_pixels_is_kept(tmp_path: Path, store: InputStore, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    picture.save(tmp_path / "a.jpg", exif=exif, comment=b"my address")
    kept = keep_picture(store, tmp_path / "a.jpg", "face")
    assert b"taken at home" not in kept.read_bytes() and b"my address" not in kept.read_bytes()
    with Image.open(kept) as read:
        assert not read.getexif() and "icc_profile" not in read.info
    if os.name == "posix":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("size", "kept_size"), [((4000, 1000), (2048, 512)), ((2600, 130), (2048, 102))])
def test_large_pictures_are_made_smaller(
    tmp_path: Path, store: InputStore, size: tuple[int, int], kept_size: tuple[int, int]
) -> None:
    Image.new("RGB", size, "olive").save(tmp_path / "large.png")
    kept = keep_picture(store, tmp_path / "large.png", "image")
    with Image.open(kept) as read:
        assert read.size == kept_size
    assert keep_picture(store, kept, "image") == kept


def test_a_bad_picture_leaves_nothing(tmp_path: Path, store: InputStore) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(InvalidRequest):
        keep_picture(store, tmp_path / "a.png", "face")
    assert not store.folder.exists()


def test_disk_full(
    tmp_path: Path, store: InputStore, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    picture.save(tmp_path / "a.png")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="^face: got .*No space left.*; needed free space"):
        keep_picture(store, tmp_path / "a.png", "face")
    assert list(store.folder.iterdir()) == []


def test_a_store_that_cannot_be_made(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    with pytest.raises(StorageError, match="needed a folder that exists"):
        keep_picture(InputStore(tmp_path / "a.png" / "inputs"), tmp_path / "a.png", "image")


# --- Sounds ----------------------------------------------------------------------------------


def test_a_voice_is_kept_once_and_stays_as_it_is(tmp_path: Path, store: InputStore, recording: Path) -> None:
    ffmpeg("-i", recording, tmp_path / "same.flac")
    kept, repairs = keep_voice(store, recording)
    assert kept.suffix == ".flac" and repairs == ()
    assert keep_voice(store, tmp_path / "same.flac") == (kept, ())
    assert keep_voice(store, kept, "voice") == (kept, ())
    assert list(store.folder.iterdir()) == [kept]
    samples, rate = soundfile.read(kept, dtype="float32", always_2d=True)
    assert rate == 16_000 and np.abs(samples.T - read_voice(recording).samples).max() < 2**-15


@pytest.mark.parametrize(
    "samples",
    [
        np.concatenate([np.zeros(40_000), voice(2), np.zeros(40_000)]),
        np.clip(3 * voice(), -1, 1),
        np.concatenate([np.zeros(9_000), voice(45)]) * 0.01 + 0.1,
    ],
    ids=["short", "clipped", "long and quiet"],
)
def test_what_was_mended_needs_no_mending_again(tmp_path: Path, store: InputStore, samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="PCM_24")
    kept, repairs = keep_voice(store, tmp_path / "a.wav")
    assert repairs and keep_voice(store, kept) == (kept, ())


@pytest.mark.parametrize("channels", [1, 2])
def test_a_soundtrack_is_kept(tmp_path: Path, store: InputStore, channels: int) -> None:
    samples = np.stack([voice(rate=44_100, f0=130 + 40 * channel) for channel in range(channels)], 1)
    soundfile.write(tmp_path / "a.wav", samples * 2.4, 44_100)
    kept, repairs = keep_soundtrack(store, tmp_path / "a.wav")
    assert repairs == () and keep_soundtrack(store, kept) == (kept, ())
    info = soundfile.info(kept)
    assert (info.samplerate, info.channels, info.duration) == (48_000, channels, pytest.approx(4.0, abs=1e-4))


def test_what_is_kept_may_be_larger_than_what_was_sent(
    tmp_path: Path, store: InputStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rain and cymbals are small as MP3, and what FLAC makes of them is not: it is read again, like any other."""
    monkeypatch.setattr(sound, "MAX_BYTES", 200_000)
    noise = np.random.default_rng(0).normal(0, 0.2, (3 * 48_000, 2)).clip(-1, 1)
    soundfile.write(tmp_path / "a.wav", noise, 48_000)
    ffmpeg("-i", tmp_path / "a.wav", "-b:a", "128k", tmp_path / "a.mp3")
    kept, _ = keep_soundtrack(store, tmp_path / "a.mp3")
    assert kept.stat().st_size > 300_000 and keep_soundtrack(store, kept) == (kept, ())
    assert read_soundtrack(kept, seconds=2.0, kept=True).seconds == 2
    (tmp_path / "copy.flac").write_bytes(kept.read_bytes())
    with pytest.raises(InvalidRequest, match="^soundtrack: got copy.flac"):
        keep_soundtrack(store, tmp_path / "copy.flac")


def test_nothing_but_sound_is_kept(tmp_path: Path, store: InputStore, recording: Path) -> None:
    ffmpeg("-i", recording, "-metadata", "artist=my name", "-metadata", "comment=at home", tmp_path / "a.mp3")
    for kept, _ in (keep_voice(store, tmp_path / "a.mp3"), keep_soundtrack(store, tmp_path / "a.mp3")):
        assert b"my name" not in kept.read_bytes() and b"at home" not in kept.read_bytes()
        if os.name == "posix":
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_bad_sound_leaves_nothing(tmp_path: Path, store: InputStore) -> None:
    (tmp_path / "a.wav").write_text("not a sound")
    with pytest.raises(InvalidRequest, match="^mine: got a.wav"):
        keep_voice(store, tmp_path / "a.wav", "mine")
    with pytest.raises(InvalidRequest, match="^soundtrack: got a.wav"):
        keep_soundtrack(store, tmp_path / "a.wav")
    assert not store.folder.exists()


def test_a_block_that_fails_leaves_nothing_of_its_own(tmp_path: Path, store: InputStore, picture: Image.Image) -> None:
    picture.save(tmp_path / "known.png")
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "new.png")
    known = keep_picture(store, tmp_path / "known.png", "face")
    both = [store.picture(tmp_path / name, "face") for name in ("known.png", "new.png")]
    with pytest.raises(KeyError):
        with store.keeping(both):
            assert all(one.path.exists() for one in both)
            raise KeyError
    assert list(store.folder.iterdir()) == [known]


def test_a_full_disk_half_way_leaves_nothing(
    tmp_path: Path, store: InputStore, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture.save(tmp_path / "a.png")
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "b.png")
    both = [store.picture(tmp_path / name, "face") for name in ("a.png", "b.png")]
    write, written = inputs.write_atomically, []

    def full(path: Path, data: bytes, field: str) -> None:
        if written:
            raise StorageError(field, "a full disk", "space")
        written.append(path)
        write(path, data, field)

    monkeypatch.setattr(inputs, "write_atomically", full)
    with pytest.raises(StorageError):
        with store.keeping(both):
            pass
    assert written and list(store.folder.iterdir()) == []


def test_a_failing_request_takes_nothing_from_another_with_the_same_picture(
    tmp_path: Path, store: InputStore, picture: Image.Image
) -> None:
    picture.save(tmp_path / "a.png")
    inside, go_on = threading.Event(), threading.Event()

    def fails() -> None:
        with pytest.raises(KeyError):
            with store.keeping([store.picture(tmp_path / "a.png", "face")]):
                inside.set()
                go_on.wait(10)
                raise KeyError

    first = threading.Thread(target=fails)
    first.start()
    assert inside.wait(10)
    other: list[Path] = []
    # As in another process: a store of its own.
    second = threading.Thread(
        target=lambda: other.append(keep_picture(InputStore(store.folder), tmp_path / "a.png", "face"))
    )
    second.start()
    second.join(0.5)
    assert not other, "it waits for the first to end"
    go_on.set()
    for one in (first, second):
        one.join(10)
    assert other[0].exists()


def test_reading_alone_writes_nothing(tmp_path: Path, store: InputStore, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    settled = store.settle(GenerationRequest(mode="image", prompt="x", image=tmp_path / "a.png"))
    assert settled.request.image == settled.inputs[0].path and not store.folder.parent.exists()
    with store.keeping(()):
        assert not store.folder.parent.exists()
