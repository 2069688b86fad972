"""The WAV writer: what was given is in the file, or there is none."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.media.conftest import voice
from wan_app.errors import ExportFailed, StorageError
from wan_app.media import wav
from wan_app.media.loudness import loudness
from wan_app.media.marks.marking import QUIET, Marks
from wan_app.media.wav import write_wav


@pytest.mark.parametrize("channels", [1, 2])
def test_the_samples_are_in_it(tmp_path: Path, channels: int, marks: Marks) -> None:
    out, samples = tmp_path / "a.wav", np.stack([voice(2)] * channels)
    info, notes = write_wav(samples, 16_000, out, marks=marks, part=tmp_path / ".job.part")
    assert (info.sample_rate, info.channels, info.seconds, info.offset) == (16_000, channels, 2.0, 0.0)
    read, rate = soundfile.read(out, always_2d=True)
    # The mark moves this voice by up to 0.21 LU (1,900 keys and ids tried); what is told is what is in the file.
    assert info.loudness == pytest.approx(loudness(samples, 16_000), abs=0.5)
    assert info.loudness == pytest.approx(loudness(read.T, 16_000), abs=0.01)
    assert rate == 16_000 and notes == ()
    assert all(np.corrcoef(*pair)[0, 1] > 0.97 for pair in zip(read.T, samples))  # but for the mark
    assert soundfile.info(out).subtype == "PCM_16"
    assert list(tmp_path.iterdir()) == [out]


def test_numbers_out_of_range(tmp_path: Path, marks: Marks) -> None:
    samples = np.array([[np.nan, np.inf, 2.0, -2.0, 0.25]], np.float32)
    info, notes = write_wav(samples, 8_000, tmp_path / "a.wav", marks=marks)
    assert info.loudness is not None and notes == (QUIET,)
    read, _ = soundfile.read(tmp_path / "a.wav")
    assert read == pytest.approx([0, 0, 1, -1, 0.25], abs=1e-4)


@pytest.mark.parametrize("shape", [(10,), (3, 10), (1, 0)])
def test_wrong_sound(tmp_path: Path, shape: tuple[int, ...], marks: Marks) -> None:
    with pytest.raises(ExportFailed, match="sound is"):
        write_wav(np.zeros(shape, np.float32), 8_000, tmp_path / "a.wav", marks=marks)


def test_an_output_that_cannot_be_written(tmp_path: Path, marks: Marks) -> None:
    with pytest.raises(StorageError, match="needed a folder that exists"):
        write_wav(voice()[None], 16_000, tmp_path / "missing" / "a.wav", marks=marks)


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: Marks) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.wav").write_bytes(b"the last one")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="needed free space"):
        write_wav(voice()[None], 16_000, tmp_path / "a.wav", marks=marks)
    assert (tmp_path / "a.wav").read_bytes() == b"the last one"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.wav"]


def test_a_file_that_holds_something_else_is_not_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: Marks
) -> None:
    sixteen_bit = wav.sixteen_bit
    monkeypatch.setattr(wav, "sixteen_bit", lambda samples: np.roll(sixteen_bit(samples), 800, axis=0))
    with pytest.raises(ExportFailed, match="not those sent"):
        write_wav(voice()[None], 16_000, tmp_path / "a.wav", marks=marks)
    assert list(tmp_path.iterdir()) == []
