"""Films and sounds that strangers made, looked into piece by piece: any length, in bounded time and memory.

The container is told by its first bytes and named to ffmpeg, which may open local files only: a playlist
called clip.mp4 fetches nothing. What cannot be decoded in time is left out, and what came until then counts.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wan_app.errors import InvalidRequest
from wan_app.media.decoding import container_of
from wan_app.media.ffmpeg import binary, named
from wan_app.media.pictures import read_picture
from wan_app.media.storage import shown

NEEDED = "a video, a sound or a picture that opens elsewhere"
SOUND_RATE = 16_000
# Pixels of the short side. More would say no more: the marks are as wide as a share of it.
_SHORT_SIDE = 720
_MAX_PIXELS = 8192 * 8192
_MAX_RATIO = 20
_OPENING = 20.0  # seconds
_LARGEST = 1 << 50  # bytes: there is no limit, only pieces are read
_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
# What a file says of itself is indented further, or follows on lines without "[info]".
_DURATION = re.compile(r"^\[info\]   Duration: (\d+):(\d+):([\d.]+),", re.MULTILINE)
_PICTURE = re.compile(
    r"^\[info\]   Stream #0:\d+.{0,40}?: Video: (?!.*\(attached pic\)).*?, "
    r"(?P<width>\d{1,6})x(?P<height>\d{1,6})[, \n]", re.MULTILINE,
)
_SOUND = re.compile(r"^\[info\]   Stream #0:\d+.{0,40}?: Audio: .*? Hz, (?P<layout>[^,\n]+),", re.MULTILINE)
_REASON = re.compile(r"^(?:\[[^\]]* @ [^\]]*\] )*\[(?:error|fatal)\] (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Footage:
    """A file that can be looked into. `kind` is ffmpeg's name of the container, "picture" for a still one.

    width, height: 0 without a picture, as the file states them. seconds: by its own account, 0 if it gives
    none. channels: 0 without sound.
    """

    path: Path
    kind: str
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    channels: int = 0

    @property
    def still(self) -> bool:
        return self.kind == "picture"


def open_footage(path: Path, field: str = "file") -> Footage:
    """What is in `path`.

    Raises:
        InvalidRequest: naming `field`: no such file, no video, sound or picture, or too damaged to be read.
    """
    if _is_picture(path):
        image = read_picture(path, field)
        return Footage(path=path, kind="picture", width=image.width, height=image.height)
    kind = container_of(path, field, NEEDED, _LARGEST)
    try:
        said = _ffmpeg(["-loglevel", "level+info", *_input(path, kind)], _OPENING).stderr.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        raise InvalidRequest(field, f"{shown(path.name)} (not opened in {_OPENING:.0f} s)", NEEDED) from None
    picture, sound, length = _PICTURE.search(said), _SOUND.search(said), _DURATION.search(said)
    if not picture and not sound:
        raise InvalidRequest(field, f"{shown(path.name)} ({_why(said)})", NEEDED)
    return Footage(
        path=path, kind=kind,
        width=int(picture["width"]) if picture else 0, height=int(picture["height"]) if picture else 0,
        seconds=3600.0 * int(length[1]) + 60.0 * int(length[2]) + float(length[3]) if length else 0.0,
        channels=0 if not sound else 1 if sound["layout"].startswith(("mono", "1 ")) else 2,
    )


def frames(footage: Footage, start: float, span: float, count: int, timeout: float) -> Iterator[np.ndarray]:
    """At most `count` frames from `start` on, uint8 (height, width, 3), spread over `span` seconds, or over more in
    a film whose frames lie further apart.

    A short side above 720 pixels is made that small. What was not decoded within `timeout` seconds is left out.
    """
    if footage.still:
        image = read_picture(footage.path, "file")
        image.thumbnail((4 * _SHORT_SIDE, 4 * _SHORT_SIDE))
        yield np.asarray(image)
        return
    if not _drawable(footage):
        return
    apart = 0.98 * span / count  # frames lie on a grid of their own, which must not make every other one be missed
    pick = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t\\,{apart:.4f})'"
    size = f"scale='if(gt(iw,ih),-2,min({_SHORT_SIDE},iw))':'if(gt(iw,ih),min({_SHORT_SIDE},ih),-2)'"
    raw = _piece(footage, start, timeout, [
        "-map", "0:V:0", "-vf", f"{pick},{size}", "-frames:v", str(count), "-fps_mode", "passthrough",
        "-f", "image2pipe", "-c:v", "ppm",  # each with its size in front: it is not what the file says, if turned
    ])
    yield from _unpacked(raw)


def sound(footage: Footage, start: float, span: float, timeout: float) -> np.ndarray:
    """float32 (channels, n) at SOUND_RATE: `span` seconds of the sound from `start` on, or what came in time."""
    raw = _piece(footage, start, timeout, [
        "-map", "0:a:0", "-t", f"{span:.3f}", "-ac", str(footage.channels), "-ar", str(SOUND_RATE), "-f", "f32le",
    ])
    return np.frombuffer(raw, np.float32, len(raw) // (4 * footage.channels) * footage.channels).reshape(
        -1, footage.channels
    ).T


def looks_like_media(path: Path) -> bool:
    """Whether a file begins like something that `open_footage` opens."""
    try:
        return _is_picture(path) or bool(container_of(path, "file", NEEDED, _LARGEST))
    except InvalidRequest:
        return False


def _is_picture(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would block
            return False
        with path.open("rb") as file:
            head = file.read(16)
    except (OSError, ValueError):
        return False
    brand = head[4:12] in (b"ftypavif", b"ftypavis")
    return head.startswith(_PICTURES) or brand or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _drawable(footage: Footage) -> bool:
    """Whether its frames are of a sane size: one alone could fill the memory."""
    short, long = sorted((footage.width, footage.height))
    return short >= 8 and long <= _MAX_RATIO * short and short * long <= _MAX_PIXELS


def _piece(footage: Footage, start: float, timeout: float, output: list[str]) -> bytes:
    # Seeking before the input: what lies between is not decoded.
    seek = ["-ss", f"{start:.3f}"] if start > 0 else []
    command = ["-loglevel", "fatal", "-threads", "2", *seek, *_input(footage.path, footage.kind)]
    try:
        return _ffmpeg([*command, *output, "pipe:1"], timeout).stdout
    except subprocess.TimeoutExpired as late:
        return late.stdout or b""


def _input(path: Path, kind: str) -> list[str]:
    return ["-protocol_whitelist", "file,pipe", "-f", kind, "-i", named(path)]


def _ffmpeg(arguments: list[str], timeout: float) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [binary(), "-nostdin", "-hide_banner", "-nostats", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=max(0.1, timeout),
    )


def _unpacked(raw: bytes) -> Iterator[np.ndarray]:
    """Frames of a row of PPM pictures; an unfinished last one is left out."""
    at = 0
    while found := re.compile(rb"P6\n(\d{1,6}) (\d{1,6})\n255\n").match(raw, at):
        width, height = int(found[1]), int(found[2])
        at = found.end() + 3 * width * height
        if at > len(raw):
            return
        yield np.frombuffer(raw, np.uint8, 3 * width * height, found.end()).reshape(height, width, 3)


def _why(said: str) -> str:
    if "Input #0" in said:
        return "no picture and no sound in it"
    reasons = " ".join(_REASON.findall(said))
    return "cut off: its table of contents is missing" if "moov atom not found" in reasons else "damaged or cut off"
