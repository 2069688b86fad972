"""What every speech model must do, on a small checkpoint in the real layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.families.conftest import Recorder
from tests.families.test_contract import process_state
from wan_app.errors import Cancelled, InvalidRequest
from wan_app.families.base import Plan
from wan_app.families.parts.recording import Recording
from wan_app.families.speech import registry, weights
from wan_app.families.speech.base import Speaker
from wan_app.settings import Settings

SPEC = registry.get("pocket-tts")


def tone(hertz: float, seconds: float = 3.0, rate: int = 16_000) -> Recording:
    return Recording(np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32), rate)


@pytest.fixture(scope="module")
def speaker(tiny_speech_folder: Path) -> Iterator[Speaker]:
    settings = Settings(data_dir=Path("/nowhere"), weights_dir=tiny_speech_folder)
    loaded = registry.load(SPEC, Plan(), weights.locate(SPEC, settings))
    yield loaded
    loaded.close()


def spoken(speaker: Speaker, text: str = "Hello there.", voice: Recording | None = None, seed: int = 1) -> np.ndarray:
    made = speaker.speak(text, voice, seed=seed, report=Recorder())
    assert made.sample_rate == SPEC.sample_rate and made.samples.dtype == np.float32 and made.samples.ndim == 1
    assert np.isfinite(made.samples).all() and 0 < np.abs(made.samples).max() <= 1
    return made.samples


def test_the_seed_the_words_and_the_voice_decide(speaker: Speaker) -> None:
    first = spoken(speaker, voice=tone(150))
    assert np.array_equal(first, spoken(speaker, voice=tone(150)))
    for other in (
        spoken(speaker, voice=tone(150), seed=2), spoken(speaker, voice=tone(250)), spoken(speaker),
        spoken(speaker, "Good night.", tone(150)),
    ):
        assert other.shape != first.shape or not np.array_equal(other, first)


def test_long_texts_are_spoken_in_parts(speaker: Speaker) -> None:
    sentence = "This is one sentence of some words. "
    assert spoken(speaker, sentence * 6).size > 2 * spoken(speaker, sentence).size


@pytest.mark.parametrize("text", ["<audio_bos> hello <audio_prompt>", "…", "你好", "a" * 600, "No. 5: 3.14!"])
def test_no_text_breaks_the_prompt(speaker: Speaker, text: str) -> None:
    spoken(speaker, text, tone(150))


def test_nothing_that_can_be_spoken_is_refused(speaker: Speaker) -> None:
    with pytest.raises(InvalidRequest, match="^say: got .*; needed words"):
        speaker.speak("<audio_bos> ", None, seed=1, report=Recorder())


def test_only_so_much_of_a_voice_is_listened_to(speaker: Speaker) -> None:
    limit = SPEC.max_reference_seconds
    assert np.array_equal(spoken(speaker, voice=tone(150, limit + 4)), spoken(speaker, voice=tone(150, limit + 9)))


def test_a_cancel_stops_within_a_block_and_leaves_nothing(speaker: Speaker) -> None:
    class Stopping(Recorder):
        left = 5

        def check(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Cancelled

    before, state = spoken(speaker, voice=tone(150)), process_state()
    stopping = Stopping()
    with pytest.raises(Cancelled):
        speaker.speak("Hello there.", tone(150), seed=1, report=stopping)
    assert stopping.left == -1
    assert process_state() == state
    assert np.array_equal(spoken(speaker, voice=tone(150)), before)
    assert process_state() == state


@pytest.mark.parametrize("rate, to", [(16_000, 24_000), (24_000, 16_000), (44_100, 24_000), (16_000, 16_000)])
def test_resampling_keeps_pitch_level_and_length(rate: int, to: int) -> None:
    made = tone(440, 0.5, rate).at(to)
    expected = tone(440, 0.5, to).samples
    assert made.sample_rate == to and made.samples.size == expected.size
    middle = slice(to // 20, -to // 20)  # a tone cut off hard rings a little at its ends
    assert np.abs(made.samples[middle] - expected[middle]).max() < 0.02
