from __future__ import annotations

import math
from html.parser import HTMLParser

import pytest

from wan_app.types import Check, Similarity
from wan_app.ui import report


def plain(text: str) -> str:
    """With spaces where lines must not break."""
    return text.replace("\u00a0", " ")


def test_a_likeness_in_plain_words() -> None:
    shown = plain(report.report([Similarity(character="character1", identity=0.83, timbre=0.91, pitch=0.4)]))
    assert "Looks like the reference: 83 %" in shown
    assert "Voice: 0.4 semitones higher, timbre 91 % alike" in shown
    assert "As high as the recording, and the voice sounds like the recording." in shown
    assert "own encoders" in shown and "character1" not in shown
    assert "Strangers are about 30 % alike in looks" in shown, "0 % is nobody's likeness"


@pytest.mark.parametrize(("identity", "words"), [
    (0.8, "Clearly recognisable"), (0.7, "details"), (0.5, "Only some traits"), (0.31, "somebody else"),
    (-0.2, "somebody else"), (1.3, "Clearly"),
])
def test_low_values_are_told_as_what_they_are(identity: float, words: str) -> None:
    fact, meaning = report.looks(identity)
    assert words in meaning and f"{100 * min(1, max(0, identity)):.0f} %" in plain(fact)


@pytest.mark.parametrize(("pitch", "timbre", "fact", "meaning"), [
    (-4.2, 0.28, "4.2 semitones lower, timbre 28 % alike", "Clearly lower, and the voice sounds like somebody else."),
    (2.0, None, "2.0 semitones higher", "A little higher."), (-1.0, None, "1.0 semitone lower", "As high"),
    (0.04, None, "same pitch", "As high"), (None, 0.6, "timbre 60 % alike", "can be told from the recording."),
])
def test_a_voice_is_told_by_what_is_known(
    pitch: float | None, timbre: float | None, fact: str, meaning: str
) -> None:
    told = report.voice(pitch, timbre)
    assert plain(told[0]) == f"Voice: {fact}" and meaning in told[1]


def test_several_people_are_named_and_the_unknown_is_left_out() -> None:
    shown = plain(report.report([
        Similarity(character="ann", identity=0.9), Similarity(character="bob", pitch=math.nan, timbre=0.9),
        Similarity(character="eve"),
    ]))
    assert "ann: Looks like" in shown and "bob: Voice: timbre 90 % alike" in shown and "eve" not in shown
    assert "nan" not in shown


def test_nothing_known_nothing_shown() -> None:
    assert report.report([]) == report.report([Similarity(character="x")]) == ""


def test_notes_are_listed_and_never_markup() -> None:
    class Tags(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.found.append(tag)

    parser = Tags()
    people = [Similarity(character="<img>", identity=1)] * 2
    parser.feed(report.report(people, ["<script>x", "took the sound of a video"]))
    assert parser.found.count("li") == 2 and not {"img", "script"} & set(parser.found)


def test_checks_are_folded_and_the_odd_ones_come_first() -> None:
    good = Check(name="frames", said="9 frames of 64 × 64")
    assert report.checked([]) == ""
    calm = report.checked([good])
    assert calm.startswith('<details class="checks"><summary>File checked: in order') and " open" not in calm
    odd = report.checked([good, Check(name="picture", said="<b>Black from 0 s", good=False)])
    assert "File checked: 1 thing to look at" in odd and "<b>" not in odd
    assert odd.index("Black from") < odd.index("9 frames")
