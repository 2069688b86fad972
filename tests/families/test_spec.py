"""How a request is held against a row of numbers, and said to a model."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from wan_app.errors import InvalidRequest
from wan_app.families import registry
from wan_app.families.base import prompt_calling
from wan_app.families.spec import ModelSpec
from wan_app.types import Character, GenerationRequest

POCKET = registry.get("pocket")
SILENT = replace(POCKET, native_audio=False, max_characters=2)
SPEAKING = replace(POCKET, native_audio=True, max_voices=1, max_characters=2)
SOUND_WITHOUT_VOICES = replace(SPEAKING, max_voices=0)
ANN, BEN = (Character(name=name, voice=Path("voice.wav")) for name in ("Ann", "Ben"))
FACE = Character(name="Cy", faces=(Path("a.png"),))


def resolved(**wanted: object) -> GenerationRequest:
    return POCKET.resolve(GenerationRequest(**{"mode": "text", "prompt": "a fox", **wanted}))  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [128.0, 512, 512.0])
def test_sizes_become_whole_numbers_of_the_models_own(side: float) -> None:
    request = resolved(width=side, height=side)
    assert (request.width, request.height) == (128, 128) and type(request.width) is type(request.height) is int


@pytest.mark.parametrize("name", ["image", "last_image"])
def test_a_picture_for_words_alone_is_refused_and_not_dropped(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}: got a picture for mode text"):
        resolved(**{name: Path("a.png")})


@pytest.mark.parametrize("prompt, said", [
    ("Ann waves, anna jumps", "character1 waves, character2 jumps"), ("joanna's hat", "joanna's hat"),
    ("ANN's hat", "character1's hat"),
])
def test_characters_are_called_by_names_that_the_model_knows(prompt: str, said: str) -> None:
    people = tuple(Character(name=name, faces=(Path("a.png"),)) for name in ("Ann", "Anna"))
    request = GenerationRequest(mode="reference", prompt=prompt, characters=people)
    assert prompt_calling(request, ["character1", "character2"]) == said


def reference(spec: ModelSpec, *people: Character, **wanted: object) -> GenerationRequest:
    asked = {"mode": "reference", "prompt": "a park", "characters": people, "say": "hello", **wanted}
    return spec.resolve(GenerationRequest(**asked))  # type: ignore[arg-type]


@pytest.mark.parametrize("spec, people, wanted", [
    (SILENT, (ANN, BEN), {}), (SILENT, (FACE, BEN), {}), (SPEAKING, (ANN, FACE), {}),
    # A model with sound needs no words for a voice; the speech model does, from wherever.
    (SPEAKING, (ANN,), {"say": ""}), (SILENT, (ANN,), {"say": "", "prompt": 'Ann says "Hello"'}),
    (SILENT, (FACE,), {"soundtrack": Path("song.mp3"), "soundtrack_mode": "replace", "say": ""}),
    (SPEAKING, (ANN,), {"soundtrack": Path("song.mp3"), "soundtrack_mode": "replace"}),
    (SILENT, (ANN,), {"sound_only": True, "prompt": ""}), (SPEAKING, (FACE,), {"sound_only": True, "say": ""}),
])
def test_a_person_has_a_face_or_a_voice_or_both(
    spec: ModelSpec, people: tuple[Character, ...], wanted: dict[str, object]
) -> None:
    assert reference(spec, *people, **wanted).characters == people


@pytest.mark.parametrize("spec, people, wanted, said", [
    (SILENT, (), {}, "^face: got no picture and no voice"), (SOUND_WITHOUT_VOICES, (), {}, "^face: got no picture;"),
    (SILENT, (Character(name="Ann"),), {}, "^face: got no picture for Ann"),
    (SPEAKING, (ANN, BEN), {}, "^voice: got 2 voice clips; needed at most 1"),
    (SOUND_WITHOUT_VOICES, (ANN,), {}, "^face: got no picture for Ann"),
    (SOUND_WITHOUT_VOICES, (replace(ANN, faces=FACE.faces),), {}, "^voice: got 1 voice clips; needed at most 0"),
    (SILENT, (ANN, replace(BEN, name="ann ")), {}, "^characters: got two of the same name"),
    (SILENT, (replace(ANN, name=" "),), {}, "^characters: got nothing"),
    (SILENT, (replace(ANN, name=None),), {}, "^characters: got NoneType"),  # type: ignore[arg-type]
    (SILENT, (ANN,), {"say": ""}, "^say: got nothing; needed words for the voice"),
    (SILENT, (FACE,), {"say": "", "sound_only": True}, "^say: got nothing"),
    (SILENT, (ANN,), {"soundtrack": Path("a.mp3"), "soundtrack_mode": "replace"}, "^soundtrack_mode: got replace"),
    (SILENT, (ANN,), {"prompt": ""}, "^prompt: got nothing"),
])
def test_what_cannot_be_shown_or_heard_is_refused(
    spec: ModelSpec, people: tuple[Character, ...], wanted: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        reference(spec, *people, **wanted)


def test_words_are_looked_for_in_what_was_checked() -> None:
    begin = time.perf_counter()
    request = reference(SILENT, ANN, say="\n" * 20_000 + "Hello")
    assert request.say == "Hello" and time.perf_counter() - begin < 5


def test_sound_alone_has_no_soundtrack() -> None:
    request = reference(SILENT, ANN, sound_only=True, soundtrack=Path("song.mp3"), soundtrack_mode="replace")
    assert request.soundtrack is None
