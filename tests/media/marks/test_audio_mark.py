"""The mark in the sound: not heard, read back after what files go through, and never found where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.media.conftest import ffmpeg, voice
from wan_app.families.parts.recording import resampled
from wan_app.media.marks.audio_mark import PRESENT, mark_audio, read_audio_mark

KEY, OTHER = b"k" * 32, b"o" * 32
IDENTITY = 0x12DEADBEEF
LOW = IDENTITY & 0xFFFFFFFF


def hiss(seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """float32 (channels, n): wind, whose pitch goes down with its loudness."""
    noise = np.random.default_rng(seed).standard_normal((channels, round(seconds * rate)))
    spectrum = np.fft.rfft(noise)
    spectrum /= 1 + np.arange(spectrum.shape[1]) / seconds / 800
    wave = np.fft.irfft(spectrum, noise.shape[1])
    return (0.05 * wave / wave.std()).astype(np.float32)


def rumble(seconds: float, rate: int = 16_000) -> np.ndarray:
    """float32 (1, n): nothing above 200 Hz, quiet."""
    spectrum = np.fft.rfft(np.random.default_rng(4).standard_normal((1, round(seconds * rate))))
    spectrum[:, round(200 * seconds) :] = 0
    wave = np.fft.irfft(spectrum, round(seconds * rate))
    return (0.005 * wave / wave.std()).astype(np.float32)


def through(tmp_path: Path, samples: np.ndarray, rate: int, suffix: str, *how: str) -> np.ndarray:
    """Encoded by ffmpeg with the options `how`, and decoded again."""
    sent, coded, heard = tmp_path / "sent.f32", tmp_path / f"coded.{suffix}", tmp_path / "heard.f32"
    np.ascontiguousarray(samples.T).tofile(sent)
    raw = ("-f", "f32le", "-ar", str(rate), "-ac", str(len(samples)))
    ffmpeg(*raw, "-i", sent, *how, coded)
    ffmpeg("-i", coded, *raw, heard)
    return np.fromfile(heard, np.float32).reshape(-1, len(samples)).T


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 47_999])
@pytest.mark.parametrize("channels", [1, 2])
def test_read_back_at_every_rate(rate: int, channels: int) -> None:
    samples = hiss(2.1, rate, channels)
    marked = mark_audio(samples, rate, IDENTITY, KEY)
    assert marked.shape == samples.shape and marked.dtype == np.float32
    reading = read_audio_mark(marked, rate, [OTHER, KEY])
    assert (reading.state, reading.id_low) == ("ours", LOW)
    # Mixed down, it is still there.
    assert read_audio_mark(marked.mean(axis=0, keepdims=True), rate, [KEY]).state == "ours"


@pytest.mark.parametrize("sound", [hiss(2.1), voice(2.1)[None], rumble(2.1)], ids=["hiss", "voice", "rumble"])
def test_what_an_export_does(tmp_path: Path, sound: np.ndarray) -> None:
    """The bundled model's two seconds of 16 kHz, brought to 48 kHz, marked, encoded as exports are."""
    samples = resampled(sound, 16_000, 48_000)
    marked = mark_audio(samples, 48_000, IDENTITY, KEY)
    for rate in ("192k", "64k"):
        heard = through(tmp_path, marked, 48_000, "mp4", "-c:a", "aac", "-b:a", rate)
        assert read_audio_mark(heard, 48_000, [KEY]).id_low == LOW
        assert read_audio_mark(heard[:, 16_000:], 48_000, [KEY]).id_low == LOW


@pytest.mark.parametrize(
    "suffix, how",
    [
        ("mp3", ("-b:a", "64k")),
        ("opus", ("-b:a", "32k")),
        ("wav", ("-af", "atempo=1.02")),
        ("wav", ("-af", "asetrate=48960")),
        ("wav", ("-af", "asetrate=47040")),
        ("wav", ("-af", "highpass=f=300,lowpass=f=3400", "-ar", "8000", "-c:a", "pcm_mulaw")),
    ],
)
def test_what_others_do_to_it(tmp_path: Path, suffix: str, how: tuple[str, ...]) -> None:
    marked = mark_audio(hiss(4.0, 48_000), 48_000, IDENTITY, KEY)
    heard = through(tmp_path, marked, 48_000, suffix, *how)
    if "asetrate" in how[-1]:  # decoded at 48 kHz by its new rate: as long as it now plays
        assert abs(heard.shape[1] / marked.shape[1] - 48_000 / float(how[-1][9:])) < 0.01
    assert read_audio_mark(heard, 48_000, [KEY]).id_low == LOW


def test_a_short_piece_of_a_long_sound_at_another_speed_in_noise_and_softer() -> None:
    marked = mark_audio(hiss(70), 16_000, IDENTITY, KEY)
    piece = 0.25 * resampled(marked[:, 500_123:560_000], 16_000, 16_240)
    piece += 0.05 * piece.std() * np.random.default_rng(1).standard_normal(piece.shape).astype(np.float32)
    assert read_audio_mark(piece, 16_000, [KEY]).id_low == LOW
    # Most of it belongs to others.
    spliced = np.concatenate([hiss(60, seed=7), piece, hiss(5, seed=8)], axis=1)
    reading = read_audio_mark(spliced, 16_000, [KEY])
    assert reading.id_low == LOW and reading.at > 30


def test_another_installs_mark_is_seen_but_not_taken_for_ours() -> None:
    marked = mark_audio(hiss(4), 16_000, IDENTITY, KEY)
    reading = read_audio_mark(marked, 16_000, [OTHER])
    assert (reading.state, reading.id_low) == ("unreadable", None) and reading.strength > PRESENT


def test_it_is_not_heard() -> None:
    """Changes of at most 3 dB in a band of one slot, the loudness kept."""
    for samples in (hiss(3), voice(3)[None]):
        marked = mark_audio(samples, 16_000, IDENTITY, KEY)
        assert np.std(marked - samples) < 0.35 * np.std(samples)
        assert 20 * abs(np.log10(np.std(marked) / np.std(samples))) < 0.7
    tone = 0.2 * np.sin(2 * np.pi * 700 * np.arange(48_000) / 16_000)[None].astype(np.float32)
    assert np.std(mark_audio(tone, 16_000, IDENTITY, KEY) - tone) < 0.15 * np.std(tone)
    quiet = rumble(3)
    assert 20 * np.log10(np.std(mark_audio(quiet, 16_000, IDENTITY, KEY) - quiet)) < -90


def test_silence_and_what_is_no_number() -> None:
    silence = np.zeros((2, 30_000), np.float32)
    assert not mark_audio(silence, 48_000, IDENTITY, KEY).any()
    assert read_audio_mark(silence, 48_000, [KEY]).state == "none"
    for odd in (np.full((1, 40_000), 0.5, np.float32), np.eye(1, 40_000, 20_000, dtype=np.float32), hiss(0.01)):
        marked = mark_audio(odd, 16_000, IDENTITY, KEY)
        assert np.isfinite(marked).all() and np.abs(marked).max() <= 1
        assert np.isfinite(read_audio_mark(odd, 16_000, [KEY]).strength)
    broken = hiss(2)
    broken[0, 500:600] = np.nan
    broken[0, 700] = np.inf
    assert np.isfinite(mark_audio(broken, 16_000, IDENTITY, KEY)).all()
    assert read_audio_mark(broken, 16_000, [KEY]).state == "none"
    assert mark_audio(np.zeros((1, 0), np.float32), 16_000, IDENTITY, KEY).shape == (1, 0)
    assert read_audio_mark(np.zeros((1, 0), np.float32), 16_000, [KEY]).state == "none"


def test_a_pause_stays_a_pause() -> None:
    samples = hiss(4)
    samples[:, 20_000:40_000] = 0
    marked = mark_audio(samples, 16_000, IDENTITY, KEY)
    assert np.abs(marked[:, 28_000:32_000]).max() < 1e-6


def test_a_peak_stays_below_one() -> None:
    loud = hiss(3)
    loud /= np.abs(loud).max()
    marked = mark_audio(loud, 16_000, IDENTITY, KEY)
    assert np.abs(marked).max() <= 1 and 20 * abs(np.log10(np.std(marked) / np.std(loud))) < 0.7
    assert read_audio_mark(marked, 16_000, [KEY]).id_low == LOW


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_found_where_nothing_is(seed: int) -> None:
    # At the mark's own pace: the worst that music can do.
    beat = hiss(6, seed=seed) * (np.arange(96_000) % 17_600 < 1600 * (1 + seed % 3))
    for samples in (hiss(2.1, seed=seed), voice(2.1, f0=90.0 + 20 * seed)[None], beat.astype(np.float32)):
        reading = read_audio_mark(samples, 16_000, [KEY])
        assert reading.state == "none" and reading.strength < 6
