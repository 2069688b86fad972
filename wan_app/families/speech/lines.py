"""Who says what in a request: from `say`, or from speech in quotes in the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from wan_app.types import Character, GenerationRequest

# How people put speech in quotes; straight single ones are apostrophes too often.
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("„", "”"), ("«", "»"), ("»", "«"), ("「", "」"), ("‘", "’"))
_QUOTED = re.compile("|".join(f"{left}([^{left}{right}]+){right}" for left, right in _QUOTES))
_SAYS = (
    r"(?:(?:say|speak|ask|whisper|shout|answer|exclaim|yell|sing|murmur|mutter|announce|explain|greet|add|"
    r"declare|scream)(?:s|ing|ed)?|repl(?:y|ies|ied|ying)|cr(?:y|ies|ied)|tell(?:s|ing)?|said|told|spoke|sang)"
)
_SAID_BEFORE = re.compile(rf"\b{_SAYS}\b", re.IGNORECASE)
# Quotes after these are a name or what is written somewhere, whatever else the sentence tells.
_WRITTEN = re.compile(
    r"\b(?:called|named|titled|labell?ed|reads?|reading|written|"
    r"(?:sign|banner|poster|label|screen|board|shirt|caption)\s+(?:(?:that|which)\s+)?(?:says?|saying|said|with))\W*$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…]\s|[\n;]")


class Line(NamedTuple):
    """What one person says; `character` is the name in the request, None where there is none."""

    character: str | None
    text: str


def spoken_lines(request: GenerationRequest) -> tuple[Line, ...]:
    """The lines of a request in order; none if nobody speaks.

    `say` comes first: where it is given, quotes in the prompt are left to the video model. In it,
    what follows a character's name and a colon at the start of a line is that character's.
    """
    cast = _Cast(request.characters)
    return tuple(cast.script(request.say) if request.say.strip() else cast.quoted_speech(request.prompt))


class _Cast:
    """The people of a request, by the names that a text may give them."""

    def __init__(self, people: tuple[Character, ...]) -> None:
        self._names = {one.name.lower(): one.name for one in people}
        # Who speaks when nobody is named.
        self._first = next((one.name for one in people if one.voice), people[0].name if people else None)
        # Longest first: "Anna" is not "Ann" and an a. No name at all never matches.
        self._any = "|".join(re.escape(name) for name in sorted(self._names, key=len, reverse=True)) or r"(?!)"
        self._said_after = re.compile(
            rf"[\s,–—-]*(?:(?P<first>{self._any})\s+|(?:he|she|they|(?:the|an?)\s+\w+)\s+)?"
            rf"{_SAYS}\b(?:\s+(?:by\s+)?(?P<second>{self._any})(?!\w))?",
            re.IGNORECASE,
        )

    def script(self, say: str) -> Iterator[Line]:
        """`Ann: Hello.` and `Ben: Hi.` on lines of their own; or words without a name."""
        before, *cues = re.split(rf"^[^\S\n]*({self._any})[^\S\n]*:", say, flags=re.IGNORECASE | re.MULTILINE)
        for name, words in ((self._first, before), *zip(cues[0::2], cues[1::2])):
            if text := " ".join(words.split()):
                yield Line(self._names.get((name or "").lower(), name), text)

    def quoted_speech(self, prompt: str) -> Iterator[Line]:
        """The quotes that somebody says, asks, whispers..."""
        end = 0
        for quote in _QUOTED.finditer(prompt):
            clause = _SENTENCE_END.split(prompt[end:quote.start()])[-1]
            end = quote.end()
            speaker = self._speaker(clause, prompt[end:])
            text = " ".join(next(filter(None, quote.groups())).split())
            if speaker is not None and text:
                yield Line(speaker or self._first, text)

    def _speaker(self, clause: str, after: str) -> str | None:
        """Who says the words between `clause` and `after`: a name, "" for somebody, None if it is no speech."""
        if _WRITTEN.search(clause):
            return None
        named = re.findall(rf"(?<!\w)({self._any})(?!\w)", clause, re.IGNORECASE)
        name = self._names.get(named[-1].lower(), "") if named else ""
        if _SAID_BEFORE.search(clause) or (name and clause.rstrip().endswith(":")):
            return name
        if told := self._said_after.match(after):
            return self._names.get((told["first"] or told["second"] or "").lower(), "") or name
        return None
