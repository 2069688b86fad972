"""What happens to sound on its way: encoders, cuts, other speeds, rooms and telephones."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from wan_app.media.ffmpeg import binary, named

Attack = Callable[[np.ndarray, int], np.ndarray]


def decoded(file: Path, rate: int) -> np.ndarray:
    """float32 (channels, n) at `rate` of an audio file, mono or stereo."""
    said = subprocess.run([binary(), "-hide_banner", "-i", named(file)], capture_output=True, text=True).stderr
    channels = 2 if "stereo" in said else 1
    raw = _run("-i", named(file), "-map", "0:a", "-ac", str(channels), "-ar", str(rate), "-f", "f32le", "pipe:1")
    return np.frombuffer(raw, np.float32).reshape(-1, channels).T.copy()


def through(*steps: tuple[str, ...]) -> Attack:
    """ffmpeg's options of each encode in turn, the last of each the file's ending."""

    def attack(samples: np.ndarray, rate: int) -> np.ndarray:
        with TemporaryDirectory() as folder:
            source, raw = Path(folder) / "sent.f32", ["-f", "f32le", "-ar", str(rate), "-ac", str(len(samples))]
            source.write_bytes(np.ascontiguousarray(samples.T, np.float32).tobytes())
            for number, (*options, ending) in enumerate(steps):
                file = Path(folder) / f"{number}.{ending}"
                _run(*raw, "-i", named(source), *options, named(file))
                source, raw = file, []
            return decoded(source, rate)

    return attack


def _run(*options: str) -> bytes:
    command = [binary(), "-nostdin", "-y", "-loglevel", "error", *options]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout


def _encode(codec: str, rate: str, ending: str) -> tuple[str, ...]:
    return "-c:a", codec, "-b:a", rate, ending


def _filter(chain: str) -> Attack:
    return through(("-af", chain, "-c:a", "pcm_f32le", "wav"))


def _noise(decibels: float) -> Attack:
    def attack(samples: np.ndarray, rate: int) -> np.ndarray:
        hiss = np.random.default_rng(1).standard_normal(samples.shape).astype(np.float32)
        return samples + hiss * np.float32(samples.std() * 10 ** (-decibels / 20))

    return attack


_AAC192 = _encode("aac", "192k", "mp4")  # as `Encoder` writes it
ATTACKS: dict[str, Attack] = {
    "delivered (AAC 192)": through(_AAC192),
    "AAC 128": through(_AAC192, _encode("aac", "128k", "mp4")),
    "AAC 64": through(_AAC192, _encode("aac", "64k", "mp4")),
    "Opus 64": through(_AAC192, _encode("libopus", "64k", "opus")),
    "Opus 32": through(_AAC192, _encode("libopus", "32k", "opus")),
    "MP3 128": through(_AAC192, _encode("libmp3lame", "128k", "mp3")),
    "MP3 64": through(_AAC192, _encode("libmp3lame", "64k", "mp3")),
    "Vorbis 64": through(_AAC192, _encode("libvorbis", "64k", "ogg")),
    "two generations": through(_AAC192, _encode("aac", "96k", "mp4"), _encode("libopus", "48k", "opus")),
    "16-bit WAV": through(("-c:a", "pcm_s16le", "wav")),
    "16 kHz": through(_AAC192, ("-ar", "16000", "wav")),
    "8 kHz": through(_AAC192, ("-ar", "8000", "wav")),
    "telephone": through(_AAC192, ("-af", "highpass=f=300,lowpass=f=3400", "-ar", "8000", "-c:a", "pcm_mulaw", "wav")),
    "0.33 s cut off": lambda samples, rate: through(_AAC192)(samples, rate)[:, round(0.33 * rate) :],
    "1 s left": lambda samples, rate: through(_AAC192)(samples, rate)[:, : 3 * rate][:, -rate:],
    "-12 dB": _filter("volume=-12dB"),
    "+12 dB, clipped": through(("-af", "volume=12dB", "-c:a", "pcm_s16le", "wav")),
    "noise at 30 dB": _noise(30),
    "noise at 20 dB": _noise(20),
    "speed +2 %": _filter("asetrate=48960"),
    "speed -2 %": _filter("asetrate=47040"),
    "tempo +2 %": _filter("atempo=1.02"),
    "tempo -2 %": _filter("atempo=0.98"),
    "bass and treble": _filter("bass=g=8,treble=g=-8"),
    "compressor": _filter("acompressor=threshold=-30dB:ratio=6:attack=5:release=80:makeup=4"),
    "echo of a room": _filter("aecho=0.8:0.7:23|41|67:0.3|0.25|0.15"),
    "one channel": _filter("pan=mono|c0=c0"),
}
