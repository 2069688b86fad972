"""Names in a prompt: which of the cast are meant, and the request with them in it. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from wan_app.families.spec import ModelSpec
from wan_app.families.speech.lines import spoken_lines
from wan_app.types import Character, GenerationRequest

# Somebody who does one of these may be heard; with a recording of the voice, models let people talk.
_TALKS = re.compile(
    r"\b(?:talk|speak|say|sing|tell|whisper|shout|laugh|call)(?:s|ing)?\b|\b(?:said|told|spoke|sang)\b", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Player:
    """Somebody of the cast, by the files in the store of inputs."""

    name: str
    faces: tuple[Path, ...] = ()
    voice: Path | None = None


@dataclass(frozen=True)
class Casting:
    """A request with those of the cast whom it names; `notes` tell whom, or why not."""

    request: GenerationRequest
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def named(text: str, cast: Sequence[Player]) -> list[Player]:
    """Those whose names stand in `text` as whole words, written as in the cast, in the order of the text.

    "Rose" is called by "Rose waves", not by "a rose" nor "Rosemary".
    """
    text = normalize("NFC", text)
    places = [(found.start(), one) for one in cast if (found := _place(one.name, text))]
    return [one for _, one in sorted(places, key=lambda place: place[0])]


def with_cast(request: GenerationRequest, cast: Sequence[Player], spec: ModelSpec) -> Casting:
    """`request` with a character for each of the cast that its prompt or words to say name.

    It becomes one of mode reference; whom the statement of consent is recorded for already needs no tick. People
    whom the request brings itself come first. Texts that are none are left for `ModelSpec.resolve` to refuse.
    """
    if not cast or not isinstance(request.prompt, str) or not isinstance(request.say, str):
        return Casting(request)
    taken = {one.name.casefold() for one in request.characters}
    meant = [one for one in named(f"{request.prompt}\n{request.say}", cast) if one.name.casefold() not in taken]
    if not meant:
        return Casting(request)
    names = tuple(one.name for one in meant)
    if reason := _cannot(request, spec):
        return Casting(request, (), (f"{_listed(names)} from your cast {_are(names)} not shown: {reason}",))
    most = max(1, (spec.max_reference_images - sum(len(one.faces) for one in request.characters)) // len(meant))
    people = tuple(Character(name=one.name, faces=one.faces[:most], voice=one.voice) for one in meant)
    people = request.characters + people
    made = replace(request, mode="reference", characters=people, consent=not request.characters or request.consent)
    return Casting(_heard(made, names, spec), names, (f"{_listed(names)} {_are(names)} from your cast",))


def _cannot(request: GenerationRequest, spec: ModelSpec) -> str:
    if "reference" not in spec.tasks:
        return f"{spec.title} makes no videos with people from pictures"
    if request.mode == "image" and not spec.image_with_reference:
        return f"{spec.title} takes no people beside a first picture"
    return ""


def _heard(request: GenerationRequest, names: tuple[str, ...], spec: ModelSpec) -> GenerationRequest:
    """Without the voices of those of the cast who say nothing: a voice alone lets people talk, or is refused."""
    speaking = {line.character for line in spoken_lines(request)}
    if spec.native_audio and _TALKS.search(request.prompt):
        speaking |= set(names)
    left = spec.voices
    people = []
    for one in request.characters:
        silent = one.name in names and (one.name not in speaking or (one.voice is not None and left < 1))
        people.append(replace(one, voice=None) if silent and one.faces else one)
        left -= people[-1].voice is not None
    return replace(request, characters=tuple(people))


def _place(name: str, text: str) -> re.Match[str] | None:
    # A combining accent behind it makes it another name.
    return re.search(rf"(?<!\w){re.escape(name)}(?![\w\u0300-\u036f])", text)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
