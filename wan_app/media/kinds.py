"""What a file is by its first bytes: names and declared types may say anything."""

from __future__ import annotations

import re
from pathlib import Path

# Containers (RIFF, ISO, Matroska) hold sounds and pictures alike; what is in them is told when it is read.
_MEDIA = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....(?:WEBP|WAVE|AVI )|RF64....WAVE|FORM....AIF[FC]|BM.{4}\0\0\0\0"
    rb"|II\*\0|MM\0\*|....ftyp|ID3|fLaC|OggS|\x1aE\xdf\xa3|\xff[\xe2-\xe7\xf1-\xff]",
    re.DOTALL,
)


def is_media(path: Path) -> bool:
    """Whether a file begins like a picture or a sound; False for what cannot be read."""
    try:
        with path.open("rb") as file:
            return _MEDIA.match(file.read(16)) is not None
    except OSError:
        return False
