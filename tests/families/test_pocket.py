"""What pocket tells beside its video."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_app.families.pocket import notes_on_place
from wan_app.likeness.world.captions import PLACE
from wan_app.types import GenerationRequest


def request(prompt: str, **others: object) -> GenerationRequest:
    return GenerationRequest(mode="text", prompt=prompt, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [words for place in PLACE.values() for words in place])
def test_every_place_that_it_was_taught_is_known(words: str) -> None:
    assert notes_on_place(request(f"a girl waves {words}")) == ()


def test_another_place_is_told() -> None:
    (note,) = notes_on_place(request("a boy jumps in the park"))
    assert "found no place" in note and "forest" in note


def test_a_picture_shows_the_place_and_sound_has_none() -> None:
    assert notes_on_place(request("she waves", image=Path("first.png"))) == ()
    assert notes_on_place(request("she talks", sound_only=True)) == ()
