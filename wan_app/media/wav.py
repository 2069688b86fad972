"""The WAV writer, for results that are sound alone: marked and signed as videos are."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from wan_app.errors import ExportFailed
from wan_app.media.loudness import loudness
from wan_app.media.marks.credentials import sign
from wan_app.media.marks.marking import QUIET, Marks, deliver, marked_sound, sound_carries
from wan_app.media.samples import sixteen_bit
from wan_app.media.storage import check_writable, part_beside, storage_error
from wan_app.types import AudioInfo


def write_wav(
    samples: np.ndarray, sample_rate: int, out: Path, *, marks: Marks, part: Path | None = None
) -> tuple[AudioInfo, tuple[str, ...]]:
    """Write float32 (channels, n) in [-1, 1] as a 16-bit WAV and measure it; `out` is whole or untouched.

    Args:
        marks: what the file is marked with, in the sound and in credentials; nothing is written without.
        part: name of the growing file in `out`'s folder, gone at the end; None makes one up.
    Returns:
        what was written, and notes for people on a mark that it could not carry.
    Raises:
        StorageError: `out` cannot be written.
        ExportFailed: no sound was given, or the file does not hold it.
    """
    if samples.ndim != 2 or samples.shape[0] not in (1, 2) or not samples.shape[1]:
        raise ExportFailed(f"sound is {samples.shape}; needed (1 or 2 channels, samples)")
    out = Path(out)
    check_writable(out)
    clean = np.nan_to_num(samples, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
    sound = marked_sound(clean, sample_rate, marks)
    assert sound.samples is not None
    written = sixteen_bit(sound.samples)
    marked = sound.marked and sound_carries(written.T / np.float32(32768.0), sample_rate, marks)
    buffer = BytesIO()
    soundfile.write(buffer, written, sample_rate, format="WAV", subtype="PCM_16")
    try:
        with part_beside(out, part) as growing:
            growing.write_bytes(buffer.getvalue())
            store = sign(growing, "audio/wav", marks.facts, marks.keys, sound_marked=marked)
            info = _measured(growing, sound.samples, sample_rate)
            deliver(growing, out, marks, store)
    except OSError as error:
        raise storage_error("out", out, error) from error
    return info, (() if marked else (QUIET,))


def _measured(file: Path, sent: np.ndarray, sample_rate: int) -> AudioInfo:
    heard, rate = soundfile.read(file, dtype="float32", always_2d=True)
    if rate != sample_rate or heard.T.shape != sent.shape or np.abs(heard.T - sent).max() > 1e-4:
        raise ExportFailed(f"the written file holds {heard.T.shape} samples at {rate} Hz that are not those sent")
    return AudioInfo(
        sample_rate=rate, channels=heard.shape[1], seconds=len(heard) / rate, offset=0.0,
        loudness=loudness(heard.T, rate),
    )
