"""Inputs are kept by content: equal pictures once, nothing of the upload but its pixels."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from wan_app.errors import InvalidRequest, StorageError
from wan_app.media.inputs import InputStore


@pytest.fixture
def store(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "data" / "inputs")


def test_equal_pixels_are_kept_once(tmp_path: Path, store: InputStore, picture: Image.Image) -> None:
    picture.save(tmp_path / "one.png")
    picture.save(tmp_path / "two.bmp")
    kept = store.keep_picture(tmp_path / "one.png", "image")
    assert store.keep_picture(tmp_path / "two.bmp", "face") == kept
    assert store.keep_picture(kept, "image") == kept
    assert list(store.folder.iterdir()) == [kept]
    with Image.open(kept) as read:
        assert read.format == "PNG" and read.tobytes() == picture.tobytes()


def test_another_shape_of_the_same_bytes_is_another_picture(tmp_path: Path, store: InputStore) -> None:
    for name, size in (("wide.png", (64, 32)), ("tall.png", (32, 64))):
        Image.new("RGB", size, "teal").save(tmp_path / name)
    kept = {store.keep_picture(tmp_path / name, "image") for name in ("wide.png", "tall.png")}
    assert len(kept) == 2


def test_nothing_but_pixels_is_kept(tmp_path: Path, store: InputStore, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    picture.save(tmp_path / "a.jpg", exif=exif, comment=b"my address")
    kept = store.keep_picture(tmp_path / "a.jpg", "face")
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
    kept = store.keep_picture(tmp_path / "large.png", "image")
    with Image.open(kept) as read:
        assert read.size == kept_size
    assert store.keep_picture(kept, "image") == kept


def test_a_bad_picture_leaves_nothing(tmp_path: Path, store: InputStore) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(InvalidRequest):
        store.keep_picture(tmp_path / "a.png", "face")
    assert not store.folder.exists()


def test_disk_full(
    tmp_path: Path, store: InputStore, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    picture.save(tmp_path / "a.png")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="^face: got .*No space left.*; needed free space"):
        store.keep_picture(tmp_path / "a.png", "face")
    assert list(store.folder.iterdir()) == []


def test_a_store_that_cannot_be_made(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    with pytest.raises(StorageError, match="needed a folder that exists"):
        InputStore(tmp_path / "a.png" / "inputs").keep_picture(tmp_path / "a.png", "image")
