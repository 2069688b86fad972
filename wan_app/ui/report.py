"""How alike a result is to its references, in plain words; and what was repaired on the way. No gradio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from wan_app.types import Check, Similarity

# From this agreement on the sentence holds; read from the top. Low values are told as what they are.
_LOOKS = (
    (0.8, "Clearly recognisable."),
    (0.6, "Recognisable, though details such as colours or shapes differ."),
    (0.4, "Only some traits came through. A clear picture from the front, or another seed, may do better."),
    (0.0, "This is not a likeness: the result looks like somebody else. Try another picture or another seed."),
)
_TIMBRES = (
    (0.8, "the voice sounds like the recording"),
    (0.5, "the voice is of the same kind, but can be told from the recording"),
    (0.0, "the voice sounds like somebody else"),
)
# Semitones: one is about what a speaker varies from sentence to sentence, three are plainly heard.
_PITCHES = ((1.0, "as high as the recording"), (3.0, "a little {}"), (math.inf, "clearly {}"))
# No-break spaces keep a number and its unit on one line.
# Measured on 56 pairs of strangers in the model's world: 29 % alike in looks (at most 64 %), 0 % in timbre.
_MEASURE = (
    "Measured by the model's own encoders: 100\u00a0% is the same. Strangers are about 30\u00a0% alike in looks, and "
    "0\u00a0% in timbre."
)


def report(similarity: Sequence[Similarity], notes: Sequence[str] = ()) -> str:
    """The rows below a result, or nothing; a character is named where there are several."""
    several = len(similarity) > 1
    rows = [row for one in similarity for row in _rows(one, f"{one.character}: " if several else "")]
    likeness = f'<dl class="likeness">{"".join(rows)}</dl><small class="measure">{_MEASURE}</small>' if rows else ""
    return likeness + listed(notes)


def listed(notes: Sequence[str]) -> str:
    """Lines for people, or nothing."""
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{said}</ul>' if said else ""


def checked(checks: Sequence[Check]) -> str:
    """What was measured on the written file, folded away; a word on top where something is worth a look."""
    if not checks:
        return ""
    odd, good = [one for one in checks if not one.good], [one for one in checks if one.good]
    found = f"{len(odd)} thing{'s' if len(odd) > 1 else ''} to look at" if odd else "in order"
    rows = "".join(f'<li class="odd">{escape(one.said)}</li>' for one in odd)
    rows += "".join(f"<li>{escape(one.said)}</li>" for one in good)
    state = "checks odd" if odd else "checks"
    return f'<details class="{state}"><summary>File checked: {found}</summary><ul>{rows}</ul></details>'


def looks(identity: float) -> tuple[str, str]:
    """ ("Looks like the reference: 83 %", what that means) of an agreement from 0 to 1."""
    return f"Looks like the reference: {_percent(identity)}", _at(_LOOKS, identity)


def voice(pitch: float | None, timbre: float | None) -> tuple[str, str]:
    """ ("Voice: 0.4 semitones higher, timbre 91 % alike", what that means); one of the two is given."""
    facts, meanings = [], []
    if pitch is not None:
        facts.append(_semitones(pitch))
        direction = "higher" if pitch > 0 else "lower"
        meanings.append(next(words for most, words in _PITCHES if abs(pitch) <= most).format(direction))
    if timbre is not None:
        facts.append(f"timbre {_percent(timbre)} alike")
        meanings.append(_at(_TIMBRES, timbre))
    meaning = ", and ".join(meanings)
    return f"Voice: {', '.join(facts)}", f"{meaning[0].upper()}{meaning[1:]}."


def _rows(one: Similarity, name: str) -> list[str]:
    identity, pitch, timbre = (_known(value) for value in (one.identity, one.pitch, one.timbre))
    told = [looks(identity)] if identity is not None else []
    if pitch is not None or timbre is not None:
        told.append(voice(pitch, timbre))
    return [f"<div><dt>{escape(name + fact)}</dt><dd>{escape(meaning)}</dd></div>" for fact, meaning in told]


def _known(value: float | None) -> float | None:
    """None also for what a broken measurement leaves (not a number)."""
    return value if value is not None and math.isfinite(value) else None


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.0f}\u00a0%"


def _semitones(pitch: float) -> str:
    size = f"{abs(pitch):.1f}"
    if size == "0.0":
        return "same pitch"
    return f"{size}\u00a0semitone{'' if size == '1.0' else 's'} {'higher' if pitch > 0 else 'lower'}"


def _at(table: Sequence[tuple[float, str]], share: float) -> str:
    return next((words for least, words in table if share >= least), table[-1][1])
