"""Voices and soundtracks as users send them: read, mended with a word about it, or refused in one line."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.media.conftest import ffmpeg, voice
from wan_app.errors import InvalidRequest
from wan_app.media import decoding, sound
from wan_app.media.sound import at_loudness, loudness, read_soundtrack, read_voice
from wan_app.media.sync import lag

NEVER_HEARD = np.zeros(4 * 16_000, np.float32)


def write(file: Path, samples: np.ndarray, rate: int = 16_000, **options: str) -> Path:
    soundfile.write(file, samples, rate, **options)
    return file


def from_recording(file: Path, recording: Path, *options: str) -> Path:
    ffmpeg("-i", recording, *options, file)
    return file


def test_an_ordinary_voice(recording: Path) -> None:
    read = read_voice(recording)
    assert read.sample_rate == 16_000 and read.samples.dtype == np.float32
    assert read.samples.shape == (1, pytest.approx(64_000, abs=4_000))
    assert read.repairs == ()
    assert loudness(read.samples, 16_000) == pytest.approx(-23, abs=0.1)
    assert abs(read.samples.mean()) < 1e-5
    late, likeness = lag(read.samples, voice()[None], 16_000)
    assert likeness > 0.98 and abs(late) < 0.1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", ("-b:a", "128k")),
        ("a.flac", ()),
        ("a.m4a", ("-c:a", "aac")),
        ("lossless.m4a", ("-c:a", "alac")),
        ("a.ogg", ("-c:a", "libvorbis")),
        ("microphone.webm", ("-c:a", "libopus")),
        ("a.aac", ()),
        ("a.aiff", ()),
        ("float.wav", ("-c:a", "pcm_f32le")),
        ("stereo.wav", ("-ac", "2")),
        ("tagged.mp3", ("-metadata", "title=[error]\n  Stream #0:0: Audio: x, 96000 Hz, 5.1, s16")),
    ],
)
def test_every_usual_kind_without_a_remark(
    tmp_path: Path, recording: Path, name: str, options: tuple[str, ...]
) -> None:
    file = from_recording(tmp_path / name, recording, *options)
    read = read_voice(file)
    assert read.repairs == ()
    assert lag(read.samples, read_voice(recording).samples, 16_000)[1] > 0.95
    track = read_soundtrack(file)
    assert track.sample_rate == 48_000 and track.repairs == ()
    assert track.samples.shape[0] == (2 if name == "stereo.wav" else 1)
    assert track.seconds == pytest.approx(4, abs=0.1)


def test_a_cover_picture_is_no_video(tmp_path: Path, recording: Path) -> None:
    cover, file = tmp_path / "cover.png", tmp_path / "song.mp3"
    Image.new("RGB", (64, 64), "red").save(cover)
    ffmpeg("-i", recording, "-i", cover, "-map", "0", "-map", "1", "-disposition:v", "attached_pic", file)
    assert read_voice(file).repairs == ()


# --- Bad input: mended, and said ---------------------------------------------------------------


def _eight_bit(path: Path, recording: Path) -> Path:
    return from_recording(path / "a.wav", recording, "-c:a", "pcm_u8")


def _high_rate(path: Path, recording: Path) -> Path:
    return from_recording(path / "a.wav", recording, "-ar", "96000")


def _telephone(path: Path, recording: Path) -> Path:
    return from_recording(path / "a.wav", recording, "-ar", "8000")


def _surround(path: Path, recording: Path) -> Path:
    return from_recording(path / "a.wav", recording, "-af", "pan=5.1|FC=c0", "-ar", "48000")


def _video(path: Path, recording: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64:r=8:d=4", "-i", recording, path / "a.mp4")
    return path / "a.mp4"


def _wrong_name(path: Path, recording: Path) -> Path:
    return shutil.move(from_recording(path / "a.flac", recording), path / "a.mp3")


def _picture_name(path: Path, recording: Path) -> Path:
    return shutil.move(recording, path / "face.png")


def _clipped(path: Path, recording: Path) -> Path:
    return write(path / "a.wav", np.clip(voice(rate=44_100) * 3, -1, 1), 44_100)


def _hopeless(path: Path, recording: Path) -> Path:
    return write(path / "a.wav", np.clip(voice(rate=44_100) * 40, -1, 1), 44_100)


def _quiet(path: Path, recording: Path) -> Path:
    return write(path / "a.wav", voice() * 0.01, subtype="PCM_24")


def _long(path: Path, recording: Path) -> Path:
    return write(path / "a.wav", np.concatenate([NEVER_HEARD, voice(40)]))


def _framed_by_silence(path: Path, recording: Path) -> Path:
    return write(path / "a.wav", np.concatenate([NEVER_HEARD, voice(), NEVER_HEARD]))


def _music(path: Path, recording: Path) -> Path:
    t = np.arange(5 * 16_000) / 16_000
    chord = sum(np.sin(2 * np.pi * f * t + 0.3 * np.sin(2 * np.pi * 5 * t)) for f in (220, 277, 330, 440))
    return write(path / "a.wav", 0.1 * chord * (1 + 0.3 * np.sin(2 * np.pi * 2 * t)))


def _damaged(path: Path, recording: Path) -> Path:
    data = bytearray(from_recording(path / "a.mp3", recording, "-b:a", "128k").read_bytes())
    data[20_000:24_000] = bytes(np.random.default_rng(0).integers(0, 256, 4_000, dtype=np.uint8))
    (path / "a.mp3").write_bytes(data)
    return path / "a.mp3"


def _offset(path: Path, recording: Path) -> Path:
    return write(path / "a.wav", voice() * 0.5 + 0.4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_eight_bit, "8-bit"),
        (_high_rate, "resampled from 96 kHz"),
        (_telephone, "only 8 kHz"),
        (_surround, "mixed down from 5.1 to mono"),
        (_video, "took the sound of a video"),
        (_wrong_name, "holds FLAC sound"),
        (_picture_name, "holds WAV sound"),
        (_clipped, "flattened peaks were rebuilt"),
        (_hopeless, "it stays distorted"),
        (_quiet, "very quiet: made louder by"),
        (_long, "longer than 30 s: took the first 30 with speech"),
        (_framed_by_silence, "of silence from its ends"),
        (_music, "no pauses as in speech"),
        (_damaged, "damaged in places"),
    ],
)
def test_what_is_mended_is_said(
    tmp_path: Path, recording: Path, make: Callable[[Path, Path], Path], said: str
) -> None:
    read = read_voice(make(tmp_path, recording))
    assert len(read.repairs) == 1 and said in read.repairs[0]
    assert 3 <= read.seconds <= 30
    assert loudness(read.samples, 16_000) == pytest.approx(-23, abs=0.2)
    if make not in (_music, _damaged):
        assert lag(read.samples, voice(read.seconds)[None], 16_000)[1] > 0.65


def test_a_constant_offset_is_taken_out(tmp_path: Path, recording: Path) -> None:
    read = read_voice(_offset(tmp_path, recording))
    assert abs(read.samples.mean()) < 1e-5 and read.repairs == ()
    assert read.seconds == pytest.approx(4, abs=0.3)


def test_rebuilt_peaks_are_nearer_to_the_voice(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, whole = _clipped(tmp_path, recording), read_voice(recording).samples

    def lost() -> float:
        return 1 - lag(read_voice(file).samples, whole, 16_000)[1]

    mended = lost()
    monkeypatch.setattr(sound, "_DECLIP", "anull")
    assert mended < 0.9 * lost()


def test_a_long_soundtrack_can_be_read_in_part(tmp_path: Path) -> None:
    stereo = np.tile(np.stack([voice(5, 8_000), -voice(5, 8_000)], 1), (14, 1))
    file = write(tmp_path / "a.flac", stereo, 8_000)
    assert read_soundtrack(file, seconds=2.0).samples.shape == (2, 96_000)
    assert read_soundtrack(file, seconds=0.2).samples.shape == (2, 9_600)
    assert read_soundtrack(file).seconds == pytest.approx(70, abs=0.01)


def test_a_soundtrack_is_kept_for_as_long_as_clips_can_get(tmp_path: Path) -> None:
    file = write(tmp_path / "a.flac", np.tile(voice(5), 25), 16_000)
    track = read_soundtrack(file)
    assert track.seconds == 120 and track.repairs == ("longer than 2 minutes: took the first 2",)


def test_a_soundtrack_in_surround_becomes_stereo_and_never_too_loud(tmp_path: Path, recording: Path) -> None:
    file = from_recording(
        tmp_path / "a.wav", recording, "-af", "volume=20dB,pan=5.1|FL=c0|FR=c0|FC=c0|BL=c0", "-ar", "96000"
    )
    track = read_soundtrack(file)
    assert track.samples.shape[0] == 2 and np.abs(track.samples).max() <= 1
    assert {"mixed down from 5.1 to stereo", "resampled from 96 kHz"} < set(track.repairs)


# --- Bad input: refused ------------------------------------------------------------------------


def _text(path: Path) -> Path:
    (path / "a.wav").write_text("This is not a recording.\n")
    return path / "a.wav"


def _playlist(path: Path) -> Path:
    (path / "a.mp3").write_text("#EXTM3U\nhttp://127.0.0.1:9/a.mp3\n")
    return path / "a.mp3"


def _picture(path: Path) -> Path:
    Image.new("RGB", (64, 64), "red").save(path / "a.png")
    return shutil.move(path / "a.png", path / "a.mp3")


def _silent_video(path: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64:r=8:d=4", path / "a.mp4")
    return path / "a.mp4"


def _header_alone(path: Path) -> Path:
    file = write(path / "a.flac", voice())
    file.write_bytes(file.read_bytes()[:60])
    return file


def _noise_named_mp3(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    (path / "a.mp3").write_bytes(b"\xff\xfb" + noise)
    return path / "a.mp3"


def _large(path: Path) -> Path:
    with (path / "a.wav").open("wb") as file:  # three hours of PCM, on paper: the disk holds next to none of it
        file.truncate(345_600_044)
    return path / "a.wav"


def _three_hours(path: Path) -> Path:
    minute = np.pad(voice(1, 1_000, f0=50), (0, 59_000))
    with soundfile.SoundFile(path / "a.flac", "w", 1_000, 1, "PCM_16") as file:
        for _ in range(180):
            file.write(minute)
    return path / "a.flac"


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (_text, r"a.wav \(text\); needed a WAV, MP3, FLAC or M4A recording"),
        (_playlist, r"a.mp3 \(text\)"),
        (_picture, r"a.mp3 \(not of a known kind\)"),
        (_silent_video, r"a.mp4 \(no sound in it\)"),
        (_header_alone, r"a.flac \(damaged or cut off\)"),
        (_large, "a.wav of 346 MB; needed a file of at most 15 MB"),
        (_three_hours, "a.flac of more than 10 minutes; needed a recording of at most 10 minutes"),
        (lambda path: path, r"\(a folder\)"),
        (lambda path: path / "none.wav", r"none.wav \(No such file"),
        (lambda path: path / "nul\0.wav", r"\(not a file name\)"),
        (lambda path: write(path / "a.wav", NEVER_HEARD), r"a.wav \(silence\)"),
        (lambda path: write(path / "a.wav", voice(0.1)), "a.wav of 0.1 s; needed a recording of"),
        (lambda path: write(path / "a.wav", np.zeros(0)), r"a.wav \(damaged or cut off\)"),
        (lambda path: Path(shutil.copy(os.devnull, path / "a.wav")), r"a.wav \(an empty file\)"),
        (lambda _: Path(os.devnull), r"\(not an ordinary file\)"),
    ],
)
@pytest.mark.parametrize("read", [read_voice, read_soundtrack])
def test_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], got: str, read: Callable[..., sound.Sound]
) -> None:
    file = make(tmp_path)
    begun = time.perf_counter()
    with pytest.raises(InvalidRequest, match=f"^mine: got .*{got}") as refused:
        read(file, "mine")
    assert "\n" not in str(refused.value)
    assert time.perf_counter() - begun < 10


@pytest.mark.parametrize("read", [read_voice, read_soundtrack])
def test_noise_for_a_file_is_refused_or_said_to_be_damaged(tmp_path: Path, read: Callable[..., sound.Sound]) -> None:
    try:
        repairs = read(_noise_named_mp3(tmp_path)).repairs
    except InvalidRequest:
        return
    assert "damaged in places: took what could be read" in repairs


def test_a_voice_that_is_right_is_left_as_it_is(tmp_path: Path) -> None:
    given = at_loudness(voice()[None], 16_000, -22.95)
    file = write(tmp_path / "a.wav", given.T, subtype="FLOAT")
    assert np.abs(read_voice(file).samples - given[:, :64_000]).max() < 1e-4


@pytest.mark.parametrize(
    ("samples", "got"),
    [
        (voice(2.5), r"a.wav of 2.5 s; needed a recording of 3 to 30 s"),
        (np.concatenate([NEVER_HEARD, voice(0.5), NEVER_HEARD]), "with 0.. s of sound in it; needed a voice that"),
        (1e-4 * np.random.default_rng(0).standard_normal(64_000), r"\(silence\)"),
    ],
)
def test_too_little_of_a_voice(tmp_path: Path, samples: np.ndarray, got: str) -> None:
    file = write(tmp_path / "a.wav", samples, subtype="PCM_24")
    with pytest.raises(InvalidRequest, match=f"^voice: got a.wav .*{got}|^voice: got {got}"):
        read_voice(file)


def test_a_decoder_that_hangs_is_stopped(tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "ffmpeg"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o700)
    monkeypatch.setattr(decoding, "binary", lambda: str(hanging))
    with pytest.raises(InvalidRequest, match="not read within 0 s"):
        decoding.decode(recording, "voice", sample_rate=16_000, layouts="mono", seconds=30, timeout=0.2)


def test_clipping_that_takes_too_long_to_mend_is_said(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _clipped(tmp_path, recording)
    decode = decoding.decode

    def slow(*arguments: object, **options: object) -> decoding.Decoded:
        if "mend" in options:
            raise InvalidRequest("voice", "a.wav (not read within 10 s)", "another")
        return decode(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sound, "decode", slow)
    (repair,) = read_voice(file).repairs
    assert "too loud" in repair and "rebuilt" not in repair
