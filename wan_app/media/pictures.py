"""Reading pictures that strangers sent: any size, any mode, never trusting the name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from wan_app.errors import InvalidRequest
from wan_app.media.files import head_of
from wan_app.media.storage import shown

# Decoders we let untrusted bytes reach. Not here on purpose: EPS (runs Ghostscript), PDF, PSD, ICO...
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
NEEDED = "a PNG, JPEG, WebP, AVIF, GIF, BMP or TIFF picture"
MIN_SIDE = 8
# 64 million pixels are 192 MB of RGB: every phone's camera fits, a decompression bomb does not.
MAX_PIXELS = 64_000_000
MAX_BYTES = 200_000_000
# Wider than any panorama; it also keeps the short side alive when a picture is made smaller.
MAX_RATIO = 20
# No model looks at more than this; JPEG decodes to a half or a quarter of its size almost for free.
_DRAFT_SIDE = 2048


def read_picture(path: Path | str, field: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture in `path` as the eye sees it: RGB, upright, transparency on white, first frame.

    JPEGs of more than twice 2048 pixels on both sides come back at a half, quarter or eighth of
    their size. `field` is the request's field that an error names.

    Raises:
        InvalidRequest: not a picture, broken, smaller than 8x8, or more than `max_pixels` pixels.
    """
    path = Path(path)
    head = head_of(path, field, needed=NEEDED, max_bytes=MAX_BYTES)
    try:
        with _quiet(), Image.open(path, formats=_formats()) as image:
            _check_size(image.size, path, field, max_pixels)
            image.draft(None, (_DRAFT_SIDE, _DRAFT_SIDE))
            image.load()
            return _to_rgb(_upright(image))
    except InvalidRequest:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many(path, field, max_pixels) from None
    except Image.UnidentifiedImageError:
        raise InvalidRequest(field, f"{shown(path.name)} ({_kind(head)})", NEEDED) from None
    except Exception:  # malformed bytes make decoders raise nearly anything: OSError, struct.error, ...
        raise InvalidRequest(
            field, f"{shown(path.name)} (damaged or cut off)", "a whole picture that opens elsewhere"
        ) from None


def cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """`image` resized and centre-cropped to exactly `width` x `height`, without distortion."""
    if image.size == (width, height):
        return image.copy()
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS, centering=(0.5, 0.5))


def _formats() -> tuple[str, ...]:
    """FORMATS, less those this Pillow was built without: naming one of them would be a KeyError."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow's remarks on odd files are not for the user's terminal; its bomb warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _check_size(size: tuple[int, int], path: Path, field: str, max_pixels: int) -> None:
    """Refuse by the header alone: nothing has been decoded yet."""
    width, height = size
    if width * height > max_pixels:
        raise _too_many(path, field, max_pixels, f"{width}x{height}")
    if min(width, height) < MIN_SIDE:
        raise InvalidRequest(
            field, f"{shown(path.name)} of {width}x{height}",
            f"a picture of at least {MIN_SIDE}x{MIN_SIDE} pixels",
        )
    if max(width, height) // min(width, height) > MAX_RATIO:  # whole, as a smaller copy is rounded
        raise InvalidRequest(
            field, f"{shown(path.name)} of {width}x{height}",
            f"a picture whose longer side is at most {MAX_RATIO} times the shorter",
        )


def _too_many(path: Path, field: str, max_pixels: int, size: str = "far too many pixels") -> InvalidRequest:
    return InvalidRequest(
        field, f"{shown(path.name)} of {size}", f"a picture of at most {max_pixels / 1e6:g} million pixels"
    )


def _kind(head: bytes) -> str:
    """What a file that is no picture looks like, in words a person can act on."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")):
        return "SVG, a drawing"
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return "HEIC; export it as JPEG"
    if head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3"):
        return "a video"
    if head.startswith((b"%!PS", b"%PDF")):
        return "a document"
    printable = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return "text" if printable else "not a picture of a known kind"


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera's EXIF note says; a broken note turns nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is as untrusted as the rest, but a picture without it is still a picture
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return _managed(image) or image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits, or of floats, on 0..255; Pillow itself would clip it to white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    full = 1.0 if image.mode == "F" else 65535.0
    scaled = np.clip(values, 0.0, None) * (255.0 / max(full, float(values.max())))
    return Image.fromarray(scaled.round().astype(np.uint8))


def _managed(image: Image.Image) -> Image.Image | None:
    """RGB through the picture's own colour profile (CMYK scans, Display P3 phones), if that is usable."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
