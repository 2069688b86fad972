"""Which names in a prompt mean somebody of the cast, and what becomes of the request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wan_app.families import registry
from wan_app.library.casting import Player, named, with_cast
from wan_app.types import Character, GenerationRequest

MIA = Player(name="Mia", faces=(Path("mia.png"), Path("mia2.png")), voice=Path("mia.flac"))
BEN = Player(name="Ben", faces=(Path("ben.png"),))
POCKET = registry.get("pocket")
SEVERAL = registry.get("minimax-h3")
TEXT = GenerationRequest(mode="text", prompt="Mia waves at the beach")


@pytest.mark.parametrize("text, found", [
    ("Mia waves", ["Mia"]), ("a beach, Mia's dog", ["Mia"]), ("Ben greets Mia", ["Ben", "Mia"]), ("(Mia)", ["Mia"]),
    ("mia waves", []), ("Miami beach", []), ("a Bento box", []), ("Mia\u0301", []), ("", []),
])
def test_names_are_whole_words_as_they_are_written(text: str, found: list[str]) -> None:
    assert [one.name for one in named(text, [BEN, MIA])] == found


def test_a_name_brings_the_person_and_their_consent() -> None:
    casting = with_cast(TEXT, [MIA, BEN], POCKET)
    request = casting.request
    assert request.mode == "reference" and request.consent is True
    assert request.characters == (Character(name="Mia", faces=MIA.faces),)  # says nothing: no voice
    assert casting.notes == ("Mia is from your cast",)
    assert POCKET.resolve(request).prompt == TEXT.prompt


def test_without_a_name_nothing_changes() -> None:
    request = replace(TEXT, prompt="a girl waves")
    assert with_cast(request, [MIA], POCKET).request is request


@pytest.mark.parametrize("change", [
    {"prompt": 'Mia says "hello"'}, {"say": "Mia: hello"}, {"prompt": "Mia talks at the beach"},
])
def test_who_speaks_has_their_voice(change: dict[str, str]) -> None:
    assert with_cast(replace(TEXT, **change), [MIA], POCKET).request.characters[0].voice == MIA.voice


def test_a_model_without_sound_gets_a_voice_only_with_words() -> None:
    vace = registry.get("wan2.1-vace-1.3b")
    for prompt, voiced in (("Mia talks at the beach", False), ('Mia says "hello"', True)):
        request = with_cast(replace(TEXT, prompt=prompt), [MIA], vace).request
        assert (request.characters[0].voice is not None) == voiced
        vace.resolve(request)


def test_pictures_are_shared_out_among_those_who_are_meant() -> None:
    many = Player(name="Zoe", faces=tuple(Path(f"{number}.png") for number in range(6)))
    both = replace(TEXT, prompt="Zoe and Mia dance")
    request = with_cast(both, [MIA, many], replace(POCKET, max_characters=2)).request
    assert [(one.name, len(one.faces)) for one in request.characters] == [("Zoe", 2), ("Mia", 2)]


def test_people_of_the_form_come_first_and_need_their_own_consent() -> None:
    form = (Character(name="character1", faces=(Path("x.png"),)),)
    request = replace(TEXT, mode="reference", characters=form, prompt="character1 meets Mia")
    made = with_cast(request, [MIA], SEVERAL).request
    assert [one.name for one in made.characters] == ["character1", "Mia"] and made.consent is False


def test_a_name_that_the_request_brings_itself_is_theirs() -> None:
    own = replace(TEXT, mode="reference", characters=(Character(name="mia", faces=(Path("x.png"),)),))
    assert with_cast(own, [MIA], POCKET).request is own


def test_a_model_without_people_says_so() -> None:
    casting = with_cast(TEXT, [MIA], registry.get("wan2.1-t2v-1.3b"))
    assert casting.request is TEXT and "Mia from your cast is not shown" in casting.notes[0]


def test_words_that_are_none_are_left_to_be_refused() -> None:
    wrong = replace(TEXT, prompt=7)  # type: ignore[arg-type]
    assert with_cast(wrong, [MIA], POCKET).request is wrong
