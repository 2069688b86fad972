"""Hear this voice: the handlers, over services that only remember."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.ui.remembering import MINE, RememberingServices
from wan_app.errors import StorageError
from wan_app.types import Character, GenerationRequest, GenerationResult, Similarity
from wan_app.ui.handlers import Page
from wan_app.ui.hear import SECONDS, WORDS, Hearing

HEARD = {"job": "job-1", "slot": 2}


@pytest.fixture
def hearing(page: Page, services: RememberingServices) -> Hearing:
    panel = next(panel for panel in page.panels if panel.mode == "reference")
    return Hearing(services=services, panel=panel, heard="heard", timer="timer")  # type: ignore[arg-type]


@pytest.fixture
def upload(page: Page, tmp_path: Path) -> dict[str, str]:
    """A recording as the browser posts it."""
    file = tmp_path / "gradio" / "audio.wav"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"RIFF")
    return {"path": str(file)}


def card(hearing: Hearing, updates: dict[Any, Any], slot: int = 1) -> str:
    return str(updates[hearing.panel.voices[slot - 1].card])


def put(services: RememberingServices, **state: Any) -> None:
    request = GenerationRequest(mode="reference", prompt="character2 talks", characters=(Character(name="character2"),))
    services.put(request, owner=MINE.owner, **state)


def test_it_submits_the_voice_alone_and_starts_its_clock(
    hearing: Hearing, services: RememberingServices, upload: dict[str, str]
) -> None:
    updates = hearing.on_hear(1)(upload, "", "pocket", True)
    request = services.submitted[0]
    assert request.sound_only and request.consent and request.say == WORDS and request.mode == "reference"
    assert request.characters == (Character(name="character1", voice=Path(upload["path"]).resolve()),)
    assert request.seconds == pytest.approx(SECONDS, abs=0.3)
    assert updates["heard"] == {"job": "job-1", "slot": 1} and updates["timer"].active
    assert "Speaking, step 1 of 4" in card(hearing, updates)
    assert set(updates) <= set(hearing.outputs())


def test_the_words_to_say_are_what_is_heard(
    hearing: Hearing, services: RememberingServices, upload: dict[str, str]
) -> None:
    hearing.on_hear(1)(upload, "Good evening", "pocket", True)
    assert services.submitted[0].say == "Good evening"


@pytest.mark.parametrize(("slot", "say", "heard"), [
    (1, "Hello Ben.\ncharacter2: Hi Ann.\ncharacter1: Fine.", "Hello Ben. Fine."),
    (2, "Hello Ben.\ncharacter2: Hi Ann.\nCharacter1: Fine.", "Hi Ann."),
    (2, "Good evening", "Good evening"), (2, "character1: Hello", WORDS), (2, "  ", WORDS), (1, "ps: bye", "ps: bye"),
])
def test_each_voice_is_heard_with_its_own_lines(
    hearing: Hearing, services: RememberingServices, upload: dict[str, str], slot: int, say: str, heard: str
) -> None:
    hearing.on_hear(slot)(upload, say, "echo-1.5", True)
    assert services.submitted[0].say == heard


@pytest.mark.parametrize("say", ["x" + "\n" * 100_000 + "x", 5, ["x"]])
def test_words_that_are_none_are_told(hearing: Hearing, upload: dict[str, str], say: Any) -> None:
    assert 'data-field="say"' in card(hearing, hearing.on_hear(1)(upload, say, "pocket", True))


@pytest.mark.parametrize(("voice", "model", "field"), [
    (None, "pocket", "voice"), ({"path": "/etc/passwd"}, "pocket", "voice"), (5, "pocket", "voice"),
    ("upload", "nope", "model"), ("upload", ["pocket"], "model"),
])
def test_an_error_is_one_line_in_the_slot(
    hearing: Hearing, upload: dict[str, str], voice: Any, model: Any, field: str
) -> None:
    updates = hearing.on_hear(1)(upload if voice == "upload" else voice, "", model, True)
    assert f'data-field="{field}"' in card(hearing, updates) and not updates["timer"].active
    assert "heard" not in updates


def test_a_fault_of_our_own_ends_in_the_slot_too(
    hearing: Hearing, services: RememberingServices, upload: dict[str, str]
) -> None:
    services.submit = lambda *_, **__: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    assert "ZeroDivisionError" in card(hearing, hearing.on_hear(1)(upload, "", "pocket", True))


def test_its_end_plays_the_sound_with_what_is_known_of_it(
    hearing: Hearing, services: RememberingServices, tmp_path: Path
) -> None:
    sound = tmp_path / "pocket-reference-7.wav"
    sound.write_bytes(b"RIFF")
    result = GenerationResult(
        file=sound, model="pocket", mode="reference", seed=7, width=0, height=0, num_frames=0, fps=0, seconds=5,
        similarity=(Similarity(character="character2", pitch=0.4, timbre=0.91),), notes=("took the sound of a video",),
    )
    put(services, state="finished", result=result)
    updates = hearing.on_tick(HEARD)
    shown = card(hearing, updates, slot=2)
    assert "<audio" in shown and "character2-talks-7.wav" in shown and "The voice of character2" in shown
    assert "0.4\u00a0semitones higher" in shown and "took the sound of a video" in shown
    assert not updates["timer"].active and updates[hearing.panel.voices[0].hear]["interactive"]


def test_a_sound_that_is_gone_is_told(hearing: Hearing, services: RememberingServices) -> None:
    result = GenerationResult(
        file=Path("/nowhere/x.wav"), model="pocket", mode="reference", seed=7, width=0, height=0, num_frames=0, fps=0,
        seconds=5,
    )
    put(services, state="finished", result=result)
    assert "cannot be read" in card(hearing, hearing.on_tick(HEARD), slot=2)


def test_cancel_stops_it_and_only_its_own_slot_shows_the_button(
    hearing: Hearing, services: RememberingServices
) -> None:
    put(services)
    loaded = hearing.on_load(HEARD)
    assert [loaded[one.cancel]["visible"] for one in hearing.panel.voices][:2] == [False, True]
    assert "Stopped" in card(hearing, hearing.on_cancel(HEARD), slot=2)


def test_a_tick_changes_one_card_and_a_look_that_fails_leaves_the_clock(
    hearing: Hearing, services: RememberingServices
) -> None:
    put(services)
    assert list(hearing.on_tick(HEARD)) == [hearing.panel.voices[1].card]

    def busy(*_: Any, **__: Any) -> Any:
        raise StorageError("data_dir", "a busy disk", "another try")

    services.job = busy  # type: ignore[method-assign]
    assert list(hearing.on_tick(HEARD)) == [hearing.panel.voices[1].card]


@pytest.mark.parametrize("heard", [None, 5, {"job": 5}, {"job": "x", "slot": "y"}, {"job": "job-1", "slot": 99}])
def test_a_store_that_makes_no_sense_is_no_obstacle(hearing: Hearing, heard: Any) -> None:
    assert hearing.on_load(heard) == {"heard": None}
    assert not hearing.on_tick(heard)["timer"].active


def test_a_test_that_ended_before_a_reload_is_past(hearing: Hearing, services: RememberingServices) -> None:
    put(services, state="cancelled")
    assert hearing.on_load(HEARD) == {"heard": None}
