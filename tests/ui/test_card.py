from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from wan_app.errors import InvalidRequest, ModelUnavailable
from wan_app.runtime.job import JobView
from wan_app.types import (
    AudioInfo,
    Downloading,
    Exporting,
    GenerationRequest,
    GenerationResult,
    JobEvent,
    Loading,
    Queued,
    Similarity,
    Step,
)
from wan_app.ui import card


class Tags(HTMLParser):
    """What a browser would find."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def job(event: JobEvent | None, preview: bytes | None = None) -> JobView:
    request = GenerationRequest(mode="text", prompt="<b>a fox</b>", width=160, height=96)
    return JobView(
        id="1", owner="me", state="running", mode="text", model="pocket", created="", request=request,
        out=Path("x.mp4"), event=event, preview=preview,
    )


@pytest.mark.parametrize(("event", "words"), [
    (None, "Starting"), (Queued(0), "Next in line"), (Queued(2), "Waiting, 2 before you"),
    (Downloading(1_000_000_000, 2_000_000_000), "1.0 of 2.0 GB"), (Loading("Reading the prompt"), "Reading the prompt"),
    (Step(5, 16, 6.2), "Drawing, step 5 of 16"), (Step(5, 16, 6.2), "about 6 s left"),
    (Exporting("Decoding"), "Decoding"),
])
def test_every_event_is_told(event: JobEvent | None, words: str) -> None:
    assert words in card.running(job(event))


def test_progress_grows_through_a_job() -> None:
    events: list[JobEvent] = [Queued(0), Loading("x"), Step(1, 4), Step(4, 4), Exporting("y")]
    shares = [int(card.running(job(event)).split('aria-valuenow="')[1].split('"')[0]) for event in events]
    assert shares == sorted(shares) and len(set(shares)) == len(shares) and shares[-1] < 100


def test_steps_down_stay_in_sight_while_the_job_runs() -> None:
    falling = replace(job(Step(1, 9)), notes=("Memory ran out; trying again with <b>weights</b> of 8 bits",))
    assert "trying again with &lt;b&gt;weights" in card.running(falling)
    assert "<ul" not in card.running(job(Step(1, 9)))


def test_the_preview_and_the_shape_are_shown() -> None:
    shown = card.running(job(Step(1, 2), preview=b"\xff\xd8"))
    assert "data:image/jpeg;base64,/9g=" in shown and "--ratio:960/576" in shown


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "\"><script>", "${alert(1)}", "{{prompt}}"])
def test_what_people_type_is_never_markup(text: str) -> None:
    result = GenerationResult(
        file=Path("a.mp4"), model="pocket", mode="text", seed=1, width=512, height=512, num_frames=17, fps=8,
        seconds=2.125,
    )
    for shown in (
        card.failed(f"prompt: got {text}; needed text", "InvalidRequest"),
        card.finished(result, "/c/a.mp4", text), card.example("/c/a.mp4", text, text, text),
    ):
        parser = Tags()
        parser.feed(shown)
        assert not parser.tags & {"img", "script"} and not parser.attributes & {"onerror", "<script"}


def test_an_invalid_request_names_its_field_for_people() -> None:
    shown = card.failed_with(InvalidRequest("image", "a text file", "a picture"))
    assert "<b>First picture</b>" in shown and 'data-field="image"' in shown
    assert "Got a text file; needed a picture." in shown


def test_flags_of_the_command_line_stay_out_of_the_page() -> None:
    shown = card.failed("consent: got no consent; needed the statement (--consent, consent=true)", "InvalidRequest")
    assert "--consent" not in shown
    assert "Tick the statement" in shown and "Got no" not in shown


def test_a_missing_prompt_is_told_as_one_says_it_beside_a_form() -> None:
    assert "Write a few words" in card.failed_with(InvalidRequest("prompt", "nothing", "a few words"))


def test_other_errors_keep_their_line_and_strangers_only_their_name() -> None:
    assert "weights are not here" in card.failed_with(ModelUnavailable("weights are not here"))
    assert "secret" not in card.failed_with(RuntimeError("secret path")) and "RuntimeError" in card.failed_with(
        RuntimeError("secret path")
    )


def test_a_result_with_sound_offers_to_play_it_and_tells_of_likeness_and_notes() -> None:
    result = GenerationResult(
        file=Path("a.mp4"), model="pocket", mode="reference", seed=1, width=512, height=512, num_frames=17, fps=8,
        seconds=2.125, audio=AudioInfo(sample_rate=48_000, channels=1, seconds=2.1, offset=0.0, loudness=-16.0),
        similarity=(Similarity(character="character1", identity=0.83),), notes=("a <b>note</b>",),
    )
    shown = card.finished(result, "/c/a.mp4", "p")
    assert 'class="listen"' in shown and "Mono sound · 48 kHz · −16 LUFS · in step" in shown
    assert "Looks like the reference: 83\u00a0%" in shown and "a &lt;b&gt;note" in shown
    silent = card.finished(replace(result, audio=None, similarity=(), notes=()), "/c/a.mp4", "p")
    assert "listen" not in silent and "No sound" in silent and "<dl" not in silent


@pytest.mark.parametrize("error", [
    "x: weights are not on this machine; needed: a/b (16.2 GB to download), fetched with: python -m wan_app download x;"
    " or given with --weights DIR",
    "x: off until its licence is accepted (T: limits); read https://x.y, then: python -m wan_app licence accept x",
])
def test_a_model_that_is_not_here_sends_nobody_to_a_command_line(error: str) -> None:
    shown = card.alert(error, "ModelUnavailable")
    assert "python" not in shown and "--weights" not in shown and "What it needs is told under Model" in shown
    assert "16.2 GB to download)" in shown or "https://x.y" in shown


def test_a_flag_among_the_needed_stays_out_of_the_page() -> None:
    shown = card.alert('say: got nothing; needed words for the voice: --say TEXT, or a line', "InvalidRequest")
    assert "--say" not in shown and "words for the voice: a line" in shown
