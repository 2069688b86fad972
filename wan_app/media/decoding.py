"""Sound files decoded by ffmpeg: told by their content, in bounded time and memory, without network.

Not soundfile: it reads neither M4A nor video, does not resample, and would let strangers' bytes
into this process.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wan_app.errors import InvalidRequest
from wan_app.media.ffmpeg import binary, named
from wan_app.media.files import head_of
from wan_app.media.storage import shown

NEEDED = "a WAV, MP3, FLAC or M4A recording"
MAX_BYTES = 15_000_000
# ffmpeg's name of each kind of file we let it open, what people call it, its usual endings.
_KINDS = {
    "wav": ("WAV", (".wav", ".wave")),
    "mp3": ("MP3", (".mp3",)),
    "flac": ("FLAC", (".flac",)),
    "mov": ("M4A or MP4", (".m4a", ".mp4", ".mov", ".m4v", ".m4b", ".3gp")),
    "aac": ("AAC", (".aac",)),
    "ogg": ("OGG", (".ogg", ".oga", ".opus", ".ogv")),
    "matroska": ("WebM or MKV", (".webm", ".weba", ".mkv", ".mka")),
    "aiff": ("AIFF", (".aif", ".aiff", ".aifc")),
    "avi": ("AVI", (".avi",)),
}
_STREAM = re.compile(
    r"^\[info\]   Stream #0:\d+.*?: Audio: (?P<codec>\w+)[^\n]*?, (?P<rate>\d+) Hz, (?P<layout>[^,\n]+), "
    r"(?P<format>[^,\n]+)", re.MULTILINE,
)
_VIDEO = re.compile(r"^\[info\]   Stream #0:\d+.*?: Video: (?!.*\(attached pic\))", re.MULTILINE)
# Lines begin with the part of ffmpeg that speaks and the level; what a file says of itself comes after "[info]".
_ERROR = re.compile(r"^(?:\[[^\]]* @ [^\]]*\] )*\[(?:error|fatal)\]", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What came out of a file, and what was found in it.

    samples: float32 (channels, n). kind, sample_rate, layout: of the file, the kind in words.
    seconds: length by the file's own account, 0 if it gives none.
    misnamed: its name promises something else. flat: share of samples lying on cut-off peaks; mended: those
    were rebuilt.
    """

    samples: np.ndarray
    kind: str
    misnamed: bool
    seconds: float
    sample_rate: int
    layout: str
    eight_bit: bool
    video: bool
    damaged: bool
    flat: float
    mended: bool = False


def decode(
    path: Path, field: str, *, sample_rate: int, layouts: str, seconds: float, mend: str = "anull",
    timeout: float = 30.0, max_bytes: int = MAX_BYTES,
) -> Decoded:
    """The first sound stream of `path`, at most `seconds` of it.

    Args:
        layouts: channel layouts to bring it to, as in ffmpeg's aformat ("mono", "mono|stereo").
        mend: an ffmpeg filter for the sound as it was recorded.

    Raises:
        InvalidRequest: naming `field`: no such file, not a sound of a known kind, no sound in it.
    """
    kind = container_of(path, field, NEEDED, max_bytes)
    # astats before all else: resampling turns cut-off peaks into something else.
    chain = (
        f"astats=measure_perchannel=none,{mend},aresample={sample_rate},aformat=channel_layouts={layouts}"
    )
    command = [
        binary(), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info",
        "-protocol_whitelist", "file,pipe", "-f", kind, "-i", named(path),
        "-map", "0:a:0", "-af", chain, "-t", str(seconds), "-f", "f32le", "pipe:1",
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise InvalidRequest(
            field, f"{shown(path.name)} (not read within {timeout:.0f} s)", "a recording that opens quickly"
        ) from None
    return _decoded(path, field, kind, done.stdout, done.stderr.decode("utf-8", "replace"))


def _decoded(path: Path, field: str, kind: str, raw: bytes, said: str) -> Decoded:
    streams = list(_STREAM.finditer(said))
    video = bool(_VIDEO.search(said.partition("Output #0")[0]))
    if not raw or len(streams) < 2:
        reason = "no sound in it" if video or "matches no streams" in said else "damaged or cut off"
        raise InvalidRequest(field, f"{shown(path.name)} ({reason})", NEEDED)
    given, made = streams[0], streams[-1]
    channels = 1 if made["layout"].startswith(("mono", "1 ")) else 2
    samples = np.frombuffer(raw, np.float32, len(raw) // (4 * channels) * channels).reshape(-1, channels).T
    word, endings = _KINDS[kind]
    suffix = path.suffix.lower()
    return Decoded(
        samples=np.nan_to_num(samples, posinf=0.0, neginf=0.0), kind=word,
        misnamed=bool(suffix) and suffix not in endings, seconds=_length(said),
        sample_rate=int(given["rate"]), layout=given["layout"],
        eight_bit=given["codec"] in ("pcm_u8", "pcm_s8") or "(8 bit)" in given["format"],
        video=video, damaged=bool(_ERROR.search(said)), flat=_flat(said),
    )


def _length(said: str) -> float:
    found = re.search(r"^\[info\]   Duration: (\d+):(\d+):([\d.]+),", said, re.MULTILINE)
    return 3600.0 * int(found[1]) + 60.0 * int(found[2]) + float(found[3]) if found else 0.0


def _flat(said: str) -> float:
    """Share of samples on flattened peaks at full scale, by astats; 0 where peaks come singly."""
    numbers = {
        name: float(value)
        for name, value in re.findall(
            r"(Flat factor|Peak count|Peak level dB|Number of samples): (-?\d[\d.]*)\s", said
        )
    }
    if len(numbers) < 4 or numbers["Peak level dB"] < -1.0 or numbers["Flat factor"] < 1.0:
        return 0.0
    return numbers["Peak count"] / max(1.0, numbers["Number of samples"])


def container_of(path: Path, field: str, needed: str, max_bytes: int = MAX_BYTES) -> str:
    """ffmpeg's name for what is in `path`, by its first bytes. ffmpeg itself goes by the name as
    well, and takes a text called a.mp3 for sound.

    Raises:
        InvalidRequest: naming `field`: no such file, not of a known kind; `needed` says what would be.
    """
    head = head_of(path, field, needed=needed, max_bytes=max_bytes)
    if head.startswith(b"ID3"):
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
        with path.open("rb") as file:
            file.seek(10 + size)
            head = file.read(64)
        return _of_bytes(head) or "mp3"
    kind = _of_bytes(head)
    if kind is None:
        text = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
        what = "text" if text else "not of a known kind"
        raise InvalidRequest(field, f"{shown(path.name)} ({what})", needed)
    return kind


def _of_bytes(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] in (b"WAVE", b"AVI "):
        return "wav" if head[8:12] == b"WAVE" else "avi"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0:
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"
    for start, kind in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"\x1aE\xdf\xa3", "matroska")):
        if head.startswith(start):
            return kind
    return None
