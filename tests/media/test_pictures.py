"""Every kind of picture a person may send, and every kind of file that only looks like one."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from wan_app.errors import InvalidRequest
from wan_app.media.pictures import cover, read_picture


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference in levels of 255."""
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0), ("a.bmp", {}, 0), ("a.tiff", {}, 0), ("a.webp", {"lossless": True}, 0),
        ("a.jpg", {"quality": 95}, 3), ("a.gif", {}, 12),
    ],
)
def test_common_formats(
    tmp_path: Path, picture: Image.Image, name: str, options: dict, tolerance: float
) -> None:
    picture.save(tmp_path / name, **options)
    read = read_picture(tmp_path / name, "image")
    assert (read.mode, read.size) == ("RGB", (48, 32))
    assert difference(read, picture) <= tolerance


def test_the_name_does_not_matter(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "photo.png", "JPEG", quality=95)
    assert difference(read_picture(tmp_path / "photo.png", "image"), picture) < 3


RAMP = np.repeat(np.linspace(0, 255, 48).astype(np.uint8)[None], 32, 0)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (Image.fromarray(RAMP), RAMP),
        (Image.fromarray(RAMP).convert("P"), RAMP),
        (Image.fromarray(RAMP).convert("LA"), RAMP),
        (Image.fromarray(RAMP).convert("RGBA"), RAMP),
        (Image.fromarray(RAMP).convert("RGB").convert("CMYK"), RAMP),
        (Image.fromarray(RAMP > 127), 255 * (RAMP > 127)),
        (Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP),
        (Image.fromarray(RAMP.astype(np.int32) * 257), RAMP),
        (Image.fromarray(RAMP.astype(np.float32) / 255), RAMP),
        (Image.fromarray(RAMP.astype(np.float32)), RAMP),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_odd_modes_become_rgb_of_the_same_brightness(
    tmp_path: Path, made: Image.Image, wanted: np.ndarray
) -> None:
    made.save(tmp_path / "odd.tiff")
    read = read_picture(tmp_path / "odd.tiff", "image")
    assert read.mode == "RGB"
    assert difference(read, Image.fromarray(wanted.astype(np.uint8)).convert("RGB")) <= 1


def test_sixteen_bit_png_is_not_clipped_to_white(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 48 * 32).reshape(32, 48).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    read = np.asarray(read_picture(tmp_path / "deep.png", "image"))
    assert 120 < read.mean() < 135


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 16, 32))
    image.convert(mode).save(tmp_path / "alpha.png")
    read = read_picture(tmp_path / "alpha.png", "face")
    assert read.getpixel((4, 4)) == (0, 0, 0)
    assert read.getpixel((28, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("orientation", "size", "red_corner"), [(1, (48, 32), "left"), (6, (32, 48), "right")]
)
def test_upright_by_exif(
    tmp_path: Path, orientation: int, size: tuple[int, int], red_corner: str
) -> None:
    image = Image.new("RGB", (48, 32), "blue")
    image.paste("red", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    read = read_picture(tmp_path / "turned.jpg", "face")
    red, _, blue = read.getpixel((4 if red_corner == "left" else size[0] - 4, 4))
    assert read.size == size
    assert red > 200 > 60 > blue


def test_broken_exif_turns_nothing(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "exif.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\xff" * 40)
    assert read_picture(tmp_path / "exif.jpg", "face").size == (48, 32)


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png"])
def test_first_frame_of_an_animation(tmp_path: Path, name: str) -> None:
    first, second = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    first.save(tmp_path / name, save_all=True, append_images=[second], duration=100)
    red, _, blue = read_picture(tmp_path / name, "image").getpixel((16, 16))
    assert red > 240 > 20 > blue


def test_colour_profile_is_followed(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The same profile with its red and blue primaries exchanged.
    swapped = srgb.replace(b"rXYZ", b"tmp.", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tmp.", b"bXYZ", 1)
    image = Image.new("RGB", (32, 32), (200, 100, 50))
    image.save(tmp_path / "swapped.png", icc_profile=swapped)
    red, _, blue = read_picture(tmp_path / "swapped.png", "image").getpixel((9, 9))
    assert red < 100 < 180 < blue
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for unusable in (lab, b"not a profile"):
        image.save(tmp_path / "plain.png", icc_profile=unusable)
        assert difference(read_picture(tmp_path / "plain.png", "image"), image) == 0


def test_a_large_photograph_is_read_at_a_lower_scale(tmp_path: Path) -> None:
    Image.new("RGB", (4400, 4200), "green").save(tmp_path / "large.jpg")
    assert read_picture(tmp_path / "large.jpg", "image").size == (2200, 2100)


def bomb() -> bytes:
    """A valid PNG header of 30,000 x 30,000 pixels, with hardly any data."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def encoded(format: str, size: tuple[int, int] = (200, 200)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, format)
    return buffer.getvalue()


BAD = {
    "empty.png": (b"", "an empty file"),
    "text.png": (b"hello, this is a note\n" * 20, "text"),
    "drawing.svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100, "HEIC"),
    "film.jpg": (b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + b"\0" * 100, "a video"),
    "print.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "a document"),
    "noise.jpg": (bytes(range(256)) * 4, "not a picture"),
    "cut.png": (encoded("PNG")[:30_000], "damaged or cut off"),
    "cut.jpg": (encoded("JPEG")[:10_000], "damaged or cut off"),
    "cut.webp": (encoded("WEBP")[:5_000], "damaged or cut off"),
    "cut.gif": (encoded("GIF")[:5_000], "damaged or cut off"),
    "bomb.png": (bomb(), "30000x30000|far too many pixels"),
    "dot.png": (encoded("PNG", (1, 1)), "1x1"),
    "line.png": (encoded("PNG", (400, 8)), "400x8"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, said = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidRequest, match=said) as caught:
        read_picture(tmp_path / name, "last_image")
    assert caught.value.field == "last_image"
    assert str(caught.value).startswith("last_image: got ")
    assert "; needed " in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_too_many_pixels_by_the_header_alone(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    with pytest.raises(InvalidRequest, match="48x32.*at most 0.001 million pixels"):
        read_picture(tmp_path / "a.png", "image", max_pixels=1000)


@pytest.mark.parametrize("path", ["missing.png", ".", "nul\0.png", "x" * 300 + ".png"])
def test_paths_that_are_no_file(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_picture(str(tmp_path / path), "face")
    assert caught.value.field == "face" and "\0" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidRequest, match="not an ordinary file"):
        read_picture(tmp_path / "pipe.png", "face")


def test_a_deceiving_name_is_shown_safely(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_picture(tmp_path / "a\u202egnp.\x1b[31mexe", "face")
    assert "\u202e" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("size", [(128, 128), (160, 96), (96, 160)])
def test_cover_keeps_the_middle_and_its_proportions(size: tuple[int, int]) -> None:
    image = Image.new("RGB", (400, 200), "white")
    ImageDraw.Draw(image).ellipse((150, 50, 250, 150), fill="black")
    covered = cover(image, *size)
    dark = np.asarray(covered.convert("L")) < 128
    columns, rows = np.flatnonzero(dark.any(0)), np.flatnonzero(dark.any(1))
    assert covered.size == size
    assert abs(np.ptp(columns) - np.ptp(rows)) <= 1
    assert abs(columns.mean() - (size[0] - 1) / 2) <= 1 and abs(rows.mean() - (size[1] - 1) / 2) <= 1


def test_cover_of_the_right_size_changes_nothing(picture: Image.Image) -> None:
    assert difference(cover(picture, 48, 32), picture) == 0
