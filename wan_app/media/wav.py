"""The WAV writer, for results that are sound alone."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from wan_app.errors import ExportFailed
from wan_app.media.loudness import loudness
from wan_app.media.samples import sixteen_bit
from wan_app.media.storage import check_writable, part_beside, storage_error
from wan_app.types import AudioInfo


def write_wav(samples: np.ndarray, sample_rate: int, out: Path, part: Path | None = None) -> AudioInfo:
    """Write float32 (channels, n) in [-1, 1] as a 16-bit WAV and measure it; `out` is whole or untouched.

    part: name of the growing file in `out`'s folder, gone at the end; None makes one up.

    Raises:
        StorageError: `out` cannot be written.
        ExportFailed: no sound was given, or the file does not hold it.
    """
    if samples.ndim != 2 or samples.shape[0] not in (1, 2) or not samples.shape[1]:
        raise ExportFailed(f"sound is {samples.shape}; needed (1 or 2 channels, samples)")
    out = Path(out)
    check_writable(out)
    clean = np.nan_to_num(samples, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
    buffer = BytesIO()
    soundfile.write(buffer, sixteen_bit(clean), sample_rate, format="WAV", subtype="PCM_16")
    try:
        with part_beside(out, part) as growing:
            growing.write_bytes(buffer.getvalue())
            info = _measured(growing, clean, sample_rate)
            os.replace(growing, out)
    except OSError as error:
        raise storage_error("out", out, error) from error
    return info


def _measured(file: Path, sent: np.ndarray, sample_rate: int) -> AudioInfo:
    heard, rate = soundfile.read(file, dtype="float32", always_2d=True)
    if rate != sample_rate or heard.T.shape != sent.shape or np.abs(heard.T - sent).max() > 1e-4:
        raise ExportFailed(f"the written file holds {heard.T.shape} samples at {rate} Hz that are not those sent")
    return AudioInfo(
        sample_rate=rate, channels=heard.shape[1], seconds=len(heard) / rate, offset=0.0,
        loudness=loudness(heard.T, rate),
    )
