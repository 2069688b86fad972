"""What every written file carries, and whether it really does.

    picture and sound marked -> encoded -> read back from the file (weak: once more, stronger)
    -> signed -> measured -> sidecar -> the file gets its name
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wan_app.errors import ExportFailed
from wan_app.media.encoder import AUDIO_RATE
from wan_app.media.frames import Decoded, read_frames
from wan_app.media.label import Label
from wan_app.media.marks import sidecars
from wan_app.media.marks.audio_mark import mark_audio, read_audio_mark
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.manifest import Facts
from wan_app.media.marks.payload import WatermarkId, new_id
from wan_app.media.marks.video_mark import VideoMarker, read_video_mark
from wan_app.media.probe import VideoFacts
from wan_app.media.storage import give_name

# Tried one after the other. The first is neither seen nor heard; the picture's last is for what is itself
# nothing but a pattern (a checkerboard), and hides it.
PICTURE_STRENGTHS, SOUND_STRENGTHS = (1.0, 1.6, 3.0), (1.0, 1.5)
# Read back from so many frames at most, evenly spread: what is in few of them is surer in all.
READ_FRAMES = 16
# Of the reading (its z): with less, the mark would be wiped out by another encoder.
ENOUGH = 9.0
QUIET = "The sound is too quiet or too short to carry an invisible mark"
SMALL = "The picture is too small to carry an invisible mark"
# Pixels of the short side. Nothing so small leaves the app, since small clips are enlarged.
SMALLEST = 160


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What one file is marked with: an id of its own, the install's keys, what its credentials state, and
    the visible label, if it has one."""

    keys: InstallKeys = field(repr=False)
    facts: Facts
    sidecars: Path
    label: Label = Label("off")

    @property
    def identity(self) -> WatermarkId:
        """The id in the picture's mark; its low 32 bits are in the sound's."""
        return WatermarkId(int(self.facts.watermark_id, 16))


def unused_id(folder: Path) -> str:
    """A watermark id, 10 hex digits, that no sidecar in `folder` has."""
    while sidecars.is_taken(folder, str(found := new_id())):
        pass
    return str(found)


class MarkedSound(NamedTuple):
    """float32 (channels, n), or None; `level` of SOUND_STRENGTHS at which it is marked, None if it carries no mark."""

    samples: np.ndarray | None
    level: int | None = None

    @property
    def marked(self) -> bool:
        return self.level is not None


# --- Sound -----------------------------------------------------------------------------------


def marked_sound(samples: np.ndarray | None, rate: int, marks: Marks, level: int = 0) -> MarkedSound:
    """`samples` marked at the first of SOUND_STRENGTHS, from `level` on, at which the mark can be read, and
    as loud as before; sound that can carry none (silence) as it is."""
    for stronger in range(level, len(SOUND_STRENGTHS)):
        if samples is None or not samples.any():
            break
        marked = mark_audio(
            samples, rate, marks.identity, marks.keys.mark_key, strength=SOUND_STRENGTHS[stronger]
        )
        # What is turned up weighs more than what is turned down.
        marked *= np.float32(min(1.0, np.sqrt(_power(samples) / max(_power(marked), 1e-12))))
        if sound_carries(marked, rate, marks):
            return MarkedSound(marked, stronger)
    return MarkedSound(samples)


def _power(samples: np.ndarray) -> float:
    return float(np.square(samples, dtype=np.float64).mean())


def sound_carries(samples: np.ndarray, rate: int, marks: Marks) -> bool:
    """Whether the mark is read in float32 (channels, n)."""
    reading = read_audio_mark(samples, rate, [marks.keys.mark_key])
    return reading.state == "ours" and reading.id_low == marks.identity & 0xFFFFFFFF


# --- Picture with sound ----------------------------------------------------------------------


def marked_and_read(
    write: Callable[[VideoMarker, np.ndarray | None], VideoFacts], part: Path, sent: np.ndarray | None,
    marks: Marks, check: Callable[[], None],
) -> tuple[VideoFacts, MarkedSound, tuple[str, ...]]:
    """Write `part` until its marks can be read back, up to three times, the weak one stronger each time.

    Args:
        write: writes it with marked frames and sound (at AUDIO_RATE); tells what it must hold.
        sent: the sound, not yet marked.
    Returns:
        what the file must hold, its sound, notes for people on what it could not carry.
    Raises:
        ExportFailed: the picture's mark cannot be read even so.
    """
    level, sound = 0, marked_sound(sent, AUDIO_RATE, marks)
    for left in reversed(range(len(PICTURE_STRENGTHS))):
        marker = VideoMarker(marks.identity, marks.keys.mark_key, strength=PICTURE_STRENGTHS[level])
        wanted = write(marker, sound.samples)
        seen, heard = _read_back(part, wanted, sound, marks, check)
        if not left or ((seen >= ENOUGH or _small(wanted)) and heard):
            break
        level += seen < ENOUGH
        if sound.level is not None and not heard:
            sound = marked_sound(sent, AUDIO_RATE, marks, sound.level + 1)
    if not seen and not _small(wanted):
        raise ExportFailed("the picture's invisible mark cannot be read back, however strong it is made")
    sound = sound if heard else MarkedSound(sound.samples)
    quiet = sent is not None and not sound.marked
    return wanted, sound, (QUIET,) * quiet + (SMALL,) * _small(wanted)


def _read_back(
    part: Path, wanted: VideoFacts, sound: MarkedSound, marks: Marks, check: Callable[[], None]
) -> tuple[float, bool]:
    """How strong the picture's mark is read, 0 if it is not; and whether the sound's is, if it has one."""
    channels = 0 if sound.samples is None or not sound.marked else sound.samples.shape[0]
    of = Decoded(width=wanted.width, height=wanted.height, channels=channels)
    with read_frames(part, of, every=-(-wanted.num_frames // READ_FRAMES)) as (frames, listen):
        seen = 0.0 if _small(wanted) else picture_strength(_checked(frames, check), marks)
        heard = listen()
    check()
    return seen, heard is None or sound_carries(heard, AUDIO_RATE, marks)


def picture_strength(frames: Iterator[np.ndarray], marks: Marks) -> float:
    """How strong the mark is in uint8 (height, width, 3) each; 0 if it is not read."""
    reading = read_video_mark(frames, [marks.keys.mark_key])
    return reading.strength if reading.state == "ours" and reading.id == marks.identity else 0.0


def _small(wanted: VideoFacts) -> bool:
    return min(wanted.width, wanted.height) < SMALLEST


def _checked(frames: Iterator[np.ndarray], check: Callable[[], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        check()
        yield frame


# --- The end ---------------------------------------------------------------------------------


def deliver(part: Path, out: Path, marks: Marks, store: bytes) -> None:
    """Give a signed file its name, with a sidecar; both or neither.

    Raises:
        OSError: the file cannot be moved.
        StorageError: the sidecar cannot be written.
    """
    facts = marks.facts
    record = {
        "created": facts.created, "model": facts.model, "mode": facts.mode, "consent_id": facts.consent_id,
        "file": out.name, "sha256": sidecars.digest(part),
    }
    with sidecars.kept(marks.sidecars, facts.watermark_id, record, store, out):
        give_name(part, out)
