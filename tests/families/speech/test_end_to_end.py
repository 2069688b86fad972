"""A face, a voice and words from the command line to a file with sound, through tiny real models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.marking import same_but_for_marks
from wan_app.media.video import read_metadata

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of hummed syllables."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    time = np.arange(4 * 16_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 150 * time) * np.sin(4 * np.pi * time) ** 2, 16_000)
    return path


def generate(data: Path, speech: Path | None, *flags: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wan_app", "generate", *map(str, flags), "--json"]
    environment = {**os.environ, "WAN_APP_DATA_DIR": str(data), "WAN_APP_DEVICE": "cpu"}
    if speech:
        environment["WAN_APP_WEIGHTS_DIR"] = str(speech)
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_a_person_speaks(
    tiny_vace_folder: Path, tiny_speech_folder: Path, picture: Path, voice: Path, tmp_path: Path
) -> None:
    clip, again, alone = tmp_path / "clip.mp4", tmp_path / "again.mp4", tmp_path / "voice.wav"
    asked = ["reference", "--prompt", 'Ann says "Hello there."', "--character", f"Ann={picture},{voice}", "--consent"]
    small = ["--model", "wan2.1-vace-1.3b", "--weights", tiny_vace_folder, "--size", "256x256", "--seconds", "0.3",
             "--seed", "5", "--num-inference-steps", "1"]
    done = generate(tmp_path, tiny_speech_folder, *asked, *small, "--out", clip)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["audio"]["seconds"] == pytest.approx(5 / 16, abs=0.03) and abs(result["audio"]["offset"]) < 0.02
    assert any("Pocket TTS" in note and "CC-BY-4.0" in note for note in result["notes"])
    assert any("The words take" in note for note in result["notes"])
    assert str(tmp_path) not in json.dumps(read_metadata(clip)["request"]["characters"])

    # From the file alone, its voice is found again in the store of inputs.
    done = generate(tmp_path, tiny_speech_folder, "--from", clip, "--out", again)
    assert done.returncode == 0, done.stderr
    assert same_but_for_marks(again, clip)

    done = generate(tmp_path, tiny_speech_folder, *asked, "--model", "wan2.1-vace-1.3b", "--sound-only", "--out", alone)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    samples, rate = soundfile.read(alone)
    assert (result["width"], result["num_frames"], rate) == (0, 0, 24_000) and len(samples) > rate / 2


def test_without_the_speech_model_it_exits_with_3_and_one_line(
    tiny_vace_folder: Path, picture: Path, tmp_path: Path
) -> None:
    done = generate(
        tmp_path, None, "reference", "--prompt", "x", "--face", picture, "--say", "Hello", "--consent",
        "--model", "wan2.1-vace-1.3b", "--weights", tiny_vace_folder, "--out", tmp_path / "clip.mp4",
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert done.stderr.startswith("pocket-tts: ") and "eustlb/pocket-tts" in done.stderr
    assert not (tmp_path / "inputs").exists()
