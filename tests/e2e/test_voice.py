"""A new user's way with a voice: recorded by the browser's (fake) microphone, heard, and put into a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.e2e.conftest import visits
from tests.ui.fake_model import RATE

HEARD = ".heard[data-state=finished] audio"
PLAYED = "() => { const a = document.querySelector('.heard audio'); return a && a.currentTime > 0.3 && !a.error }"
SOUNDING = ("() => { const v = document.querySelector('.card video'); "
            "return v && !v.muted && !v.paused && v.currentTime > 0.2 }")
SOME_TEXT = "([s, t]) => [...document.querySelectorAll(s)].some(e => (e.value ?? e.textContent).includes(t))"


@pytest.fixture(scope="module")
def listening(launch_chromium: Any, voice: Path) -> Iterator[Any]:
    """A Chromium whose microphone hears `voice`."""
    browser = launch_chromium(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
    )
    yield browser
    browser.close()


@pytest.fixture
def visit(listening: Any, studio: Any) -> Iterator[Any]:
    """Opens the Reference tab in a fresh browser profile."""
    opening = visits(listening, studio)
    open_page = next(opening)
    yield lambda **options: _reference(open_page(**options))
    next(opening, None)  # closes the pages


def _reference(page: Any) -> Any:
    page.get_by_role("tab", name="Reference").click()
    page.wait_for_selector(".voice:visible")
    return page


def visible(page: Any, selector: str) -> Any:
    return page.locator(f"{selector}:visible").first


def told(page: Any, selector: str) -> str:
    """What a reader sees there."""
    return str(page.locator(selector).inner_text()).replace("\u00a0", " ")


def record(page: Any, seconds: float = 5.0) -> None:
    """Press Record, wait, press Stop, until the waveform of the recording is there."""
    visible(page, ".voice button.record-button").click()
    visible(page, ".voice button.stop-button").wait_for()  # it records from here on
    page.wait_for_timeout(1000 * seconds)
    visible(page, ".voice button.stop-button").click()
    page.wait_for_selector(".voice [data-testid^=waveform] .play-pause-button")


def upload(page: Any, file: Path) -> None:
    """Hand over a sound file instead of a recording."""
    visible(page, ".voice").get_by_label("Upload file").click()
    page.locator(".voice input[type=file]").first.set_input_files(file)


def test_record_hear_generate_and_see_how_alike_it_is(visit: Any, picture: Path) -> None:
    page = visit()
    record(page)
    visible(page, "button.hear").click()
    page.wait_for_selector('.heard .alert[data-field="consent"]')
    visible(page, ".consent input").check()
    visible(page, "button.hear").click()
    page.wait_for_selector(HEARD)
    page.wait_for_function(PLAYED)
    assert "Voice: 0.4 semitones higher, timbre 91 % alike" in told(page, ".heard")
    assert page.locator(".card.idle").count(), "the stage is for videos"

    page.locator(".faces input[type=file]").first.set_input_files(picture)
    page.wait_for_selector(".faces img")
    visible(page, ".prompt textarea").fill("character1 waves")
    visible(page, ".say textarea").fill("Hello")
    page.wait_for_function("() => !document.querySelector('.consent input').checked")
    visible(page, ".consent input").check()
    visible(page, "button.generate").click()
    page.wait_for_selector(".card.finished")
    card = told(page, ".card")
    assert "Looks like the reference: 83 %" in card and "timbre 91 % alike" in card and "Mono sound" in card
    visible(page, "button.listen").click()
    page.wait_for_function(SOUNDING)
    assert not page.locator("button.listen:visible").count()
    assert page.outside == [] and page.faults == []


def test_the_microphone_is_asked_for_only_to_record(visit: Any) -> None:
    page = visit()
    hook = "() => { const m = navigator.mediaDevices, ask = m.getUserMedia.bind(m); window.asked = 0; " \
           "m.getUserMedia = (...how) => { window.asked++; return ask(...how) } }"
    page.evaluate(hook)
    for tab in ("Text", "Image", "Reference"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
    assert page.evaluate("window.asked") == 0
    record(page, 1.0)
    assert page.evaluate("window.asked") > 0


def test_a_voice_test_can_be_stopped_and_survives_a_reload(visit: Any, voice: Path) -> None:
    page = visit()
    upload(page, voice)
    page.wait_for_selector(".voice .play-pause-button")
    visible(page, ".consent input").check()
    visible(page, ".say textarea").fill("taken for ages")
    visible(page, "button.hear").click()
    page.wait_for_selector(".heard[data-state=running] [role=progressbar]")
    page.reload()
    _reference(page)
    page.wait_for_selector(".heard[data-state=running]")
    page.wait_for_function(SOME_TEXT, arg=[".say textarea", "taken for ages"])
    assert not page.locator(".voice .play-pause-button").count(), "no recording is kept in the browser"
    visible(page, "button.hear-stop").click()
    page.wait_for_selector(".heard[data-state=cancelled]")
    assert visible(page, "button.hear").is_enabled() and not page.locator("button.hear-stop:visible").count()


def test_what_is_no_voice_is_named_in_one_line(visit: Any, tmp_path: Path) -> None:
    silence, liar = tmp_path / "silence.wav", tmp_path / "liar.wav"
    soundfile.write(silence, np.zeros(5 * RATE, np.float32), RATE)
    liar.write_text("I am no sound")
    page = visit()
    visible(page, ".consent input").check()
    visible(page, "button.hear").click()
    page.wait_for_selector('.heard .alert[data-field="voice"]')
    upload(page, silence)
    page.wait_for_selector(".voice [data-testid^=waveform] .play-pause-button")
    visible(page, ".consent input").check()
    visible(page, "button.hear").click()
    page.wait_for_selector('.heard .alert[data-field="voice"]')
    assert "Traceback" not in page.locator(".heard").inner_text()
    visible(page, ".voice").get_by_label("Clear").click()
    page.wait_for_function("() => !document.querySelector('.heard')")
    upload(page, liar)
    page.get_by_text("Only pictures and sounds can be uploaded").wait_for()


def test_two_people_have_a_voice_each(visit: Any, picture: Path, voice: Path) -> None:
    page = visit()
    page.get_by_role("button", name="Add a character").click()
    page.wait_for_function("() => document.querySelectorAll('.voice').length > 1")
    for number in (0, 1):
        page.locator(".faces:visible").nth(number).locator("input[type=file]").first.set_input_files(picture)
        field = page.locator(".voice:visible").nth(number)
        field.get_by_label("Upload file").click()
        field.locator("input[type=file]").first.set_input_files(voice)
    page.wait_for_function("() => document.querySelectorAll('.voice .play-pause-button').length > 1")
    visible(page, ".prompt textarea").fill("character1 and character2 wave like a stranger")
    visible(page, ".consent input").check()
    visible(page, "button.generate").click()
    page.wait_for_selector(".card.finished")
    card = told(page, ".card")
    assert "character2: Looks like the reference: 31 %" in card and "somebody else" in card
    assert "character1: Voice: 4.2 semitones lower, timbre 28 % alike" in card


def test_a_soundtrack_goes_under_a_clip_from_words(visit: Any, voice: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Text").click()
    visible(page, ".sound button").click()
    page.locator(".soundtrack input[type=file]").first.set_input_files(voice)
    page.wait_for_selector(".soundtrack .play-pause-button")
    visible(page, ".prompt textarea").fill("a calm sea")
    visible(page, "button.generate").click()
    page.wait_for_selector(".card.finished")
    page.locator("#details button").first.click()
    page.wait_for_function(SOME_TEXT, arg=["#details", "soundtrack"])
    assert page.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_a_voice(visit: Any, scheme: str) -> None:
    page = visit(width=390, height=844, color_scheme=scheme, is_mobile=True, has_touch=True)
    record(page, 1.0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = visible(page, "button.hear").bounding_box()
    assert box["height"] >= 30 and box["x"] >= 0
