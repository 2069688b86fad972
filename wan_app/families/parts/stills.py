"""A picture as a frame of compressed video: what models that learned from videos expect to be given."""

from __future__ import annotations

import subprocess

from PIL import Image

from wan_app.errors import ModelUnavailable

_SECONDS = 30


def as_video_still(picture: Image.Image, crf: int) -> Image.Image:
    """`picture` after H.264 at `crf`, of the same size; sides must be even.

    Raises:
        ModelUnavailable: ffmpeg did not do it.
    """
    import imageio_ffmpeg

    size = f"{picture.width}x{picture.height}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-protocol_whitelist", "pipe"]
    encode = ["-c:v", "libx264", "-crf", str(crf), "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    stream = _run([*ffmpeg, *raw, "-i", "pipe:0", *encode, "-f", "h264", "pipe:1"], picture.convert("RGB").tobytes())
    pixels = _run([*ffmpeg, "-f", "h264", "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"], stream)
    if len(pixels) != picture.width * picture.height * 3:
        raise ModelUnavailable(f"ffmpeg gave {len(pixels)} bytes back for a picture of {size}")
    return Image.frombytes("RGB", picture.size, pixels)


def _run(command: list[str], given: bytes) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise ModelUnavailable(f"ffmpeg could not compress a picture: {done.stderr.decode(errors='replace')[:200]}")
    return done.stdout
