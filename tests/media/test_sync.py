"""Sound and picture agree in the written file; a file where they do not is never delivered."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from tests.media.conftest import ffmpeg, voice
from wan_app.errors import ExportFailed
from wan_app.families.parts.recording import resampled
from wan_app.media import encoder, video
from wan_app.media.encoder import AUDIO_RATE, RawSound
from wan_app.media.loudness import at_loudness
from wan_app.media.marks.marking import Marks
from wan_app.media.probe import probe
from wan_app.media.truth import AAC_FRAME
from wan_app.media.video import VideoFacts, export_video

RATE = 16_000
NOISE = np.random.default_rng(0).uniform(-1, 1, (2, 3 * RATE)).astype(np.float32)
SECONDS = np.arange(3 * RATE) / RATE


def written(marks: Marks, out: Path, clip: np.ndarray, audio: np.ndarray, fps: float = 8.0) -> VideoFacts:
    return export_video(clip, out, fps=fps, audio=audio, sample_rate=RATE, metadata={}, marks=marks, scale=1)


@pytest.mark.parametrize(
    "audio",
    [
        voice(3)[None],
        np.stack([voice(3), voice(3, f0=220)]),
        NOISE,
        NOISE * 1e-2,
        0.5 * np.sin(2 * np.pi * 440 * SECONDS)[None],
        0.5 * np.sin(2 * np.pi * 55 * SECONDS)[None],
        np.full((1, 3 * RATE), 0.5),
        (np.arange(3 * RATE) % 5_000 == 77)[None] * 1.0,
        np.cumsum(NOISE[:1] / 500, axis=1),
    ],
    ids=["voice", "voices", "noise", "hiss", "tone", "hum", "constant", "clicks", "rumble"],
)
@pytest.mark.parametrize("fps", [8.0, 24000 / 1001])
def test_any_sound_is_found_in_its_place(
    tmp_path: Path, clip: np.ndarray, audio: np.ndarray, fps: float, marks: Marks
) -> None:
    facts = written(marks, tmp_path / "a.mp4", clip, audio.astype(np.float32), fps)
    assert facts.audio is not None and facts.audio.offset is not None
    assert abs(facts.audio.offset) < 1e-3
    # To the sample, as ffmpeg decodes it; the last packet may be longer in other hands.
    assert facts.audio.seconds == pytest.approx(facts.seconds, abs=1.5 / AUDIO_RATE)


def test_silence_starts_with_the_picture(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    facts = written(marks, tmp_path / "a.mp4", clip, np.zeros((1, 100), np.float32))
    assert facts.audio is not None
    assert (facts.audio.offset, facts.audio.loudness) == (0.0, None)
    assert facts.audio.seconds == pytest.approx(facts.seconds)


def test_the_loudness_is_of_the_written_sound(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    facts = written(marks, tmp_path / "a.mp4", clip, at_loudness(voice(9 / 8)[None], RATE, -16.0))
    assert facts.audio is not None and facts.audio.loudness == pytest.approx(-16, abs=0.5)


@pytest.mark.parametrize("late", [0.25, 0.021, -0.021, -0.25])
def test_sound_shifted_on_purpose_is_noticed(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, late: float, marks: Marks
) -> None:
    """Early or late by as little as a forgotten encoder delay: no delivery, and the last file stays."""

    def shift(sound: RawSound | None) -> list[str]:
        assert sound is not None
        samples = np.fromfile(sound.file, np.float32)
        np.roll(samples, round(late * AUDIO_RATE)).tofile(sound.file)
        return sound_input(sound)

    sound_input = encoder._sound_input
    monkeypatch.setattr(encoder, "_sound_input", shift)
    (tmp_path / "a.mp4").write_bytes(b"the last one")
    with pytest.raises(ExportFailed, match=rf"sound is \{late:+.3f} s off the picture"):
        written(marks, tmp_path / "a.mp4", clip, voice(3)[None])
    assert (tmp_path / "a.mp4").read_bytes() == b"the last one"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


def test_a_stream_that_starts_late_is_noticed(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, marks: Marks
) -> None:
    """The samples themselves are right here; only the container says that they come later."""
    measure = video.probe

    def delay_then_probe(part: Path, sent: np.ndarray | None) -> VideoFacts:
        late = tmp_path / "late.mp4"
        inputs = ("-f", "mov", "-i", part, "-itsoffset", "0.2", "-f", "mov", "-i", part)
        ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-t", "1.3", "-c:v", "copy", late)
        return measure(late, sent)

    monkeypatch.setattr(video, "probe", delay_then_probe)
    with pytest.raises(ExportFailed, match=r"sound is \+0.200 s off the picture"):
        written(marks, tmp_path / "a.mp4", clip, voice(3)[None])


def test_another_sound_is_noticed(
    tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, marks: Marks
) -> None:
    def other(sound: RawSound | None) -> list[str]:
        assert sound is not None
        resampled(NOISE[:1], RATE, AUDIO_RATE)[:, :54_000].tofile(sound.file)
        return sound_input(sound)

    sound_input = encoder._sound_input
    monkeypatch.setattr(encoder, "_sound_input", other)
    with pytest.raises(ExportFailed, match="holds another sound"):
        written(marks, tmp_path / "a.mp4", clip, voice(3)[None])


@pytest.mark.parametrize("seconds", [1.0, 1.3])
def test_sound_of_another_length_is_noticed(
    tmp_path: Path, clip: np.ndarray, seconds: float, marks: Marks
) -> None:
    """Frames that come one by one have no length beforehand: their sound must be as long by itself."""
    with pytest.raises(ExportFailed, match=rf"holds {seconds:.3f} s of sound; needed 1.125 s"):
        export_video(
            iter(clip), tmp_path / "a.mp4", fps=8, audio=voice(seconds)[None], sample_rate=RATE,
            metadata={}, marks=marks, scale=1,
        )
    assert list(tmp_path.iterdir()) == []


def test_other_players_find_the_same(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    """What ffmpeg says of the file without decoding: both start at 0, the packets end within a frame."""
    written(marks, tmp_path / "a.mp4", clip, voice(3)[None])
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "a.mp4"), "-c", "copy"]
    said = subprocess.run([*command, "-f", "framecrc", "-"], capture_output=True, text=True).stdout
    rows = [[int(value) for value in line.split(",")[:4]] for line in said.splitlines() if line[0] != "#"]
    sound = [row for row in rows if row[0] == 1]
    # The first packet is the encoder's start-up, which every player is told to skip.
    assert sound[0][2] == -1024 and rows[0][2] == 0
    end = (sound[-1][2] + sound[-1][3]) / AUDIO_RATE
    assert abs(end - 9 / 8) <= AAC_FRAME


def test_a_file_alone_tells_when_its_sound_starts(tmp_path: Path, clip: np.ndarray, marks: Marks) -> None:
    written(marks, tmp_path / "a.mp4", clip, voice(3)[None])
    facts = probe(tmp_path / "a.mp4")
    assert facts.audio is not None and facts.audio.offset == 0.0 and facts.audio.loudness is None
