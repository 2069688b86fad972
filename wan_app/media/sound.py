"""Voices and soundtracks that users gave: read, checked, mended; and the room's other work on sound.

    file -> ffmpeg -> checked -> silence cut, offset and level put right -> Sound with its repairs
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from wan_app.errors import InvalidRequest
from wan_app.media.decoding import MAX_BYTES, Decoded, decode
from wan_app.media.loudness import CEILING, MAX_GAIN_DB, at_loudness, limited, loudness
from wan_app.media.samples import Sound, fit, mix
from wan_app.media.storage import shown

__all__ = [
    "Sound", "at_loudness", "fit", "loudness", "mix", "read_soundtrack", "read_voice",
]

VOICE_RATE, VOICE_LUFS = 16_000, -23.0
MIN_VOICE, MAX_VOICE = 3.0, 30.0  # seconds that reference encoders are made for
MIN_SPEECH = 1.0  # seconds with something to hear in them
SOUNDTRACK_RATE = 48_000
MIN_SOUNDTRACK = 0.5
MAX_SECONDS = 600.0  # of either: a song or a talk, not a film
_LOOKED_AT = 120.0  # seconds from the start: longer than any clip, and 46 MB in memory
_MAX_KEPT_BYTES = 24_000_000  # of so much sound as we keep it, if FLAC can make nothing of it smaller
_FRAME = 0.02  # seconds over which the level is taken
_SILENCE_DB = -65.0  # full scale; below this even a good microphone only hears itself
_PAUSE_DB = 35.0  # so far below the loudest speech nothing is said
# 95th above 5th percentile of the level: measured 25 and more in speech, 16 with noise only 10 dB below it;
# a steady chord or noise has 0 to 5.
_SPEECH_FALLS_DB = 12.0
_MARGIN = 5  # frames kept on either side of speech: soft beginnings of words
_CLIPPED = 0.0005  # share of samples on flattened peaks from which distortion is heard
_HOPELESS = 0.1  # share from which nothing is won by rebuilding them
# Found on recorded speech driven 1.2 to 2.5 times too high: 3 to 8 dB nearer to the original; the filter's
# defaults win half of that in four times the time.
_DECLIP = "adeclip=w=10:o=50:a=8:t=1"


def read_voice(path: Path | str, field: str = "voice") -> Sound:
    """The voice in `path`: mono, 16 kHz, without silence at its ends, at -23 LUFS, 3 to 30 s.

    What it returns can be kept and read again without a change. Speech is looked for in the first
    two minutes.

    Raises:
        InvalidRequest: naming `field`: no sound, silence, shorter than 3 s, longer than 10 minutes.
    """
    path = Path(path)
    found = _read(path, field, VOICE_RATE, "mono", _LOOKED_AT)
    samples = found.samples - found.samples.mean()
    _check_length(path, field, samples.shape[1] / VOICE_RATE, MIN_VOICE, "of 3 to 30 s")
    start, end, spoken = _speech(samples[0])
    _check_heard(path, field, spoken)
    taken = samples[:, start:min(end, start + round(MAX_VOICE * VOICE_RATE))]
    gain, note = _voice_gain(taken)
    repairs = _repairs(found, "mono") + _cuts(samples.shape[1], start, end) + note + _pauses(taken[0])
    return Sound(((taken - taken.mean()) * gain).clip(-1, 1).astype(np.float32), VOICE_RATE, repairs)


def read_soundtrack(
    path: Path | str, field: str = "soundtrack", *, seconds: float | None = None, kept: bool = False
) -> Sound:
    """The sound in `path`, mono or stereo at 48 kHz, at its own level; its first `seconds`, or two minutes.

    Args:
        kept: it is our own copy, which may be larger than what it was made from.
    Raises:
        InvalidRequest: naming `field`: no sound, silence, shorter than 0.5 s, longer than 10 minutes.
    """
    path = Path(path)
    # A little more than is taken tells that there is more.
    wanted, most = seconds or _LOOKED_AT + 0.1, _MAX_KEPT_BYTES if kept else MAX_BYTES
    found = _read(path, field, SOUNDTRACK_RATE, "mono|stereo", wanted, most)
    samples, length = found.samples, found.samples.shape[1] / SOUNDTRACK_RATE
    repairs = _repairs(found, "stereo")
    if seconds is None:  # the beginning alone may well be short, or silent
        _check_length(path, field, length, MIN_SOUNDTRACK, "of 0.5 s to 10 minutes")
        if max(samples.max(), -samples.min()) < 10 ** (_SILENCE_DB / 20):
            raise _silent(path, field)
        if length > _LOOKED_AT:
            repairs += ("longer than 2 minutes: took the first 2",)
            samples = samples[:, :round(_LOOKED_AT * SOUNDTRACK_RATE)]
    if found.mended:  # peaks that stood out above full scale, once rebuilt
        samples = limited(samples, SOUNDTRACK_RATE)
    return Sound(samples.clip(-1, 1), SOUNDTRACK_RATE, repairs)


def _read(
    path: Path, field: str, sample_rate: int, layouts: str, seconds: float, max_bytes: int = MAX_BYTES
) -> Decoded:
    """At most `seconds`; decoded once more with its flattened peaks rebuilt where there are many."""
    read = partial(
        decode, path, field, sample_rate=sample_rate, layouts=layouts, seconds=seconds, max_bytes=max_bytes
    )
    found = read()
    if found.seconds > MAX_SECONDS:
        raise InvalidRequest(field, f"{shown(path.name)} of more than 10 minutes", "a recording of at most 10 minutes")
    if _CLIPPED < found.flat < _HOPELESS:
        with suppress(InvalidRequest):  # too long a recording for the time there is: it stays distorted
            mended = read(mend=_DECLIP, timeout=10.0)
            return replace(mended, flat=found.flat, mended=True)
    return found


def _check_length(path: Path, field: str, seconds: float, least: float, needed: str) -> None:
    # Encoders round to frames of up to 50 ms.
    if seconds < least - 0.05:
        raise InvalidRequest(field, f"{shown(path.name)} of {seconds:.1f} s", f"a recording {needed}")


def _check_heard(path: Path, field: str, spoken: float) -> None:
    if not spoken:
        raise _silent(path, field)
    if spoken < MIN_SPEECH:
        raise InvalidRequest(
            field, f"{shown(path.name)} with {spoken:.1f} s of sound in it", "a voice that speaks for 3 s or more"
        )


def _silent(path: Path, field: str) -> InvalidRequest:
    return InvalidRequest(field, f"{shown(path.name)} (silence)", "a recording with something to hear in it")


def _levels(samples: np.ndarray, seconds: float) -> np.ndarray:
    """dB of full scale (n // frame,) of (n,) samples of a voice, one for each `seconds`."""
    frame = round(seconds * VOICE_RATE)
    count = len(samples) // frame
    power = (samples[:count * frame].reshape(count, frame) ** 2).mean(axis=1)
    return 10 * np.log10(power + 1e-12)


def _speech(samples: np.ndarray) -> tuple[int, int, float]:
    """Where speech in (n,) starts and ends, at least 3 s apart, and how many seconds of it are no pause."""
    level = _levels(samples, _FRAME)
    loud = np.flatnonzero(level > max(_SILENCE_DB, np.percentile(level, 95) - _PAUSE_DB))
    if not loud.size:
        return 0, len(samples), 0.0
    start, end = max(0, loud[0] - _MARGIN), min(len(level), loud[-1] + 1 + _MARGIN)
    # A short sentence keeps the silence around it, for a voice must not get too short by cutting.
    end = min(len(level), max(end, start + round(MIN_VOICE / _FRAME)))
    start = max(0, min(start, end - round(MIN_VOICE / _FRAME)))
    frame = round(_FRAME * VOICE_RATE)
    return int(start * frame), len(samples) if end == len(level) else int(end * frame), loud.size * _FRAME


def _pauses(samples: np.ndarray) -> tuple[str, ...]:
    """A word on sound that never falls as the level of speech does between words and syllables."""
    level = _levels(samples, 0.05)
    if np.percentile(level, 95) - np.percentile(level, 5) >= _SPEECH_FALLS_DB:
        return ()
    return ("no pauses as in speech: music or noise in it makes the voice less alike",)


def _voice_gain(samples: np.ndarray) -> tuple[float, tuple[str, ...]]:
    """The factor to -23 LUFS that keeps peaks whole, and what to say of it."""
    now = loudness(samples, VOICE_RATE)
    if now is None:
        return 1.0, ()
    peak = float(np.abs(samples).max())
    decibels = min(VOICE_LUFS - now, MAX_GAIN_DB, 20 * np.log10(CEILING / peak))
    if abs(decibels) < 0.1:  # as it is, else what we kept would change a little each time it is read
        return 1.0, ()
    note = (f"very quiet: made louder by {decibels:.0f} dB",) if decibels > 20 else ()
    return 10 ** (decibels / 20), note


def _cuts(length: int, start: int, end: int) -> tuple[str, ...]:
    longest = round(MAX_VOICE * VOICE_RATE)
    if end - start > longest:
        return ("longer than 30 s: took the first 30 with speech",)
    silent = (length - end + start) / VOICE_RATE
    return (f"cut {silent:.1f} s of silence from its ends",) if silent >= 0.5 else ()


def _repairs(found: Decoded, made: str) -> tuple[str, ...]:
    """What a file was that it had better not be, and what was made of it."""
    kilo = f"{found.sample_rate / 1000:g} kHz"
    plain = found.layout in ("mono", "stereo", "1 channels", "2 channels")
    said = (
        (found.video, "took the sound of a video"),
        (found.misnamed and not found.video, f"its name says otherwise, but it holds {found.kind} sound"),
        (found.damaged, "damaged in places: took what could be read"),
        (not plain, f"mixed down from {found.layout} to {made}"),
        (found.sample_rate > SOUNDTRACK_RATE, f"resampled from {kilo}"),
        (found.sample_rate < VOICE_RATE, f"recorded at only {kilo}: it will sound muffled"),
        (found.eight_bit, "8-bit sound: its hiss remains"),
        (found.mended, "too loud when it was recorded: flattened peaks were rebuilt"),
        (found.flat > _CLIPPED and not found.mended, "too loud when it was recorded: it stays distorted"),
    )
    return tuple(text for true, text in said if true)
