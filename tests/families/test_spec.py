"""How a request is held against a row of numbers, and said to a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_app.errors import InvalidRequest
from wan_app.families import registry
from wan_app.families.base import prompt_calling
from wan_app.types import Character, GenerationRequest

POCKET = registry.get("pocket")


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
