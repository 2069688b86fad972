"""A request as it travels: no folder of this machine, no statement of consent, inputs by their content names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from wan_app.types import Character, GenerationRequest


def inputs_of(request: GenerationRequest) -> list[Path]:
    """All pictures and sounds of a request, each once."""
    found = [request.image, request.last_image, request.soundtrack]
    found += [file for one in request.characters for file in (*one.faces, one.voice)]
    return list(dict.fromkeys(file for file in found if file))


def leaving(request: GenerationRequest) -> GenerationRequest:
    """The request without what belongs to this install alone."""
    named = with_inputs(request, lambda file: Path(file.name))
    loras = tuple(replace(one, file=Path(one.file.name)) for one in named.loras)
    return replace(named, weights=None, loras=loras, consent=False, consent_id=None)


def arriving(request: GenerationRequest, here: Mapping[str, Path]) -> GenerationRequest:
    """The request with its inputs as they lie here, by the names they came under; what did not come is left out."""
    return with_inputs(leaving(request), lambda file: here.get(file.name))


def with_inputs(request: GenerationRequest, change: Callable[[Path], Path | None]) -> GenerationRequest:
    """The request with every picture and sound changed; None leaves it out."""
    def changed(file: Path | None) -> Path | None:
        return change(file) if file else None

    people = tuple(
        Character(name=one.name, faces=tuple(filter(None, map(change, one.faces))), voice=changed(one.voice))
        for one in request.characters
    )
    return replace(
        request, characters=people, image=changed(request.image), last_image=changed(request.last_image),
        soundtrack=changed(request.soundtrack),
    )
