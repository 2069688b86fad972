"""What a check says, as a piece of HTML. Pure functions of a Verification; no gradio.

Nearly every word in it comes from a file that anybody may have made: all of it is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from wan_app.media.marks.verdict import sound_made_here
from wan_app.media.marks.verify import mark_in_words, signature_in_words
from wan_app.ui.card import bar

if TYPE_CHECKING:
    from wan_app.media.marks.findings import CredentialsFound, FileFound, MarkFound
    from wan_app.media.marks.verify import Verification

# Verdict: kind (its colour), title.
_TITLES = {
    "made here": ("here", "Made here"),
    "made here in part": ("mixed", "Made here in part"),
    "made here, but the marks disagree": ("mixed", "The marks disagree"),
    "made by another install": ("other", "Made by another install"),
    "marked, id unreadable": ("worn", "Marked, but not readable"),
    "no mark found": ("none", "No mark found"),
}
_ICONS = {
    "here": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "mixed": '<path d="M12 6v7.5M12 17.6v.4"/>',
    "other": '<path d="M5 12h13M13 6.5l5.5 5.5-5.5 5.5"/>',
    "worn": '<path d="M5 12c2-4 4-4 7 0s5 4 7 0"/>',
    "none": '<path d="M9.4 9.2a2.7 2.7 0 1 1 3.9 2.7c-.9.5-1.3 1-1.3 2.1M12 17.6v.4"/>',
}
# What is being looked at after a part has come, and how far that is.
_STAGES = (
    ("picture", "Putting it together", 0.97), ("sound", "Looking for a mark in the picture", 0.5),
    ("credentials", "Listening for a mark in the sound", 0.3), ("file", "Reading its Content Credentials", 0.12),
)
_LOOKS = {"ours": "good", "valid": "good", "invalid": "bad", "other": "some", "unreadable": "some"}


def idle(remark: str = "") -> str:
    """Before anything was checked."""
    said = f'<p role="status">{escape(remark)}</p>' if remark else ""
    return (
        f'<section class="verdict idle" data-verdict="idle">{said}<h2>What a check can tell</h2><dl>'
        "<dt>Made here</dt><dd>A mark with this install’s own key was read. The mark outlives re-encoding, resizing "
        "and moderate cropping.</dd>"
        "<dt>Made by another install</dt><dd>The mark of this app is there, under another key.</dd>"
        "<dt>Marked, but not readable</dt><dd>A mark is there, worn beyond reading.</dd>"
        "<dt>No mark found</dt><dd>This proves nothing. Marks can be lost, and most files never had one.</dd></dl>"
        "<p class='small'>A check takes some seconds, two minutes at most. An upload is gone after two hours. It may "
        "have 40 MB; on the command line, <code>python -m wan_app verify FILE</code> reads files of any size, and "
        "whole folders.</p></section>"
    )


def running(found: Sequence[str], before: int) -> str:
    """A check that waits or works."""
    if before:
        return _section("running", bar(f"Waiting, {before} before you", "", 0.0))
    title, share = next(((words, share) for part, words, share in _STAGES if part in found), ("Opening the file", 0.04))
    return _section("running", bar(title, "", share))


def answer(one: Verification) -> str:
    """The whole answer: in short, the three marks, what follows, and the details folded away."""
    said = one.opinion
    kind, title = _TITLES[said.verdict]
    icon = f'<svg viewBox="0 0 24 24" aria-hidden="true">{_ICONS[kind]}</svg>'
    return _section(kind, (
        f'<header role="status">{icon}<div><h2>{escape(title)}</h2><p>{escape(said.summary)}</p></div></header>'
        f"{_disagreements(said.disagreements)}{_marks(one)}"
        f'<div class="said">{_list("Proven", said.proven)}{_list("Likely", said.likely)}'
        f'{_list("Unknown", said.unknown)}</div>{_consent(one)}{_details(one)}'
    ))


def _marks(one: Verification) -> str:
    found = one.found
    sound_id = sound_made_here(found) or found.sound.id
    return '<ul class="marks">' + "".join((
        _mark("Picture", found.picture.state, mark_in_words(found.picture, name=False), found.picture.id),
        _mark("Sound", found.sound.state, mark_in_words(found.sound, name=False), sound_id),
        _mark("Credentials", found.credentials.state, signature_in_words(found.credentials), found.credentials.id),
    )) + "</ul>"


def _mark(title: str, state: str, words: str, identity: str | None) -> str:
    said = f"<code>{escape(identity)}</code>" if identity else ""
    return (
        f'<li data-look="{_LOOKS.get(state, "no")}" data-state="{escape(state)}"><i></i><b>{title}</b>'
        f"<span>{escape(words)}</span>{said}</li>"
    )


def _disagreements(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    return f'<div class="disagree"><b>Where the marks disagree</b>{_items(sentences)}</div>'


def _list(title: str, sentences: Sequence[str]) -> str:
    return f"<div><h3>{title}</h3>{_items(sentences)}</div>" if sentences else ""


def _items(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"


def _consent(one: Verification) -> str:
    """The statement that is recorded here, for whoever may see it."""
    record = one.consent
    if not record:
        return ""
    if record["state"] == "unknown":
        return f'<p class="stated"><b>Consent</b> {escape(str(record["remark"]))}</p>'
    names, until = ", ".join(str(person["name"]) for person in record["people"]), str(record["until"])[:10]
    states = {
        "valid": f"It holds until {until}.", "expired": f"It ran out on {until}.",
        "withdrawn": "It was withdrawn since.",
    }
    return (
        f'<p class="stated" data-state="{escape(str(record["state"]))}"><b>Consent</b> stated on '
        f'{escape(str(record["stated"])[:10])} for {escape(names)}. {escape(states[str(record["state"])])}</p>'
    )


# --- folded away -----------------------------------------------------------------------------


def _details(one: Verification) -> str:
    found, kept = one.found, one.found.kept
    rows = [("File", one.file), *_file_rows(found.file), *_signature_rows(found.credentials),
            *_mark_rows("Picture", found.picture), *_mark_rows("Sound", found.sound)]
    for known in kept:
        said = (known.created, known.model, known.mode, known.file)
        rows.append((f"Kept here of {known.id}", ", ".join(filter(None, said))))
    if one.consent and one.consent.get("statement"):
        rows.append(("Statement of consent", f"{one.consent['statement']} ({one.consent['id']})"))
    rows.append(("The check took", f"{one.seconds:.1f} s"))
    table = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    plain = escape(json.dumps(one.to_json(), indent=2, ensure_ascii=False))
    return (
        f"<details><summary>Details</summary><dl>{table}</dl></details>"
        f"<details><summary>As JSON</summary><pre>{plain}</pre></details>"
    )


def _file_rows(file: FileFound | None) -> list[tuple[str, str]]:
    if file is None:
        return []
    said = [file.kind]
    if file.width:
        said.append(f"{file.width} × {file.height}")
    if file.seconds:
        said.append(f"{file.seconds:,.1f} s")
    if not file.still:
        said.append("with sound" if file.sound else "no sound")
    return [("What it is", ", ".join(said))]


def _signature_rows(one: CredentialsFound) -> list[tuple[str, str]]:
    by = "by a model (AI), as they state" if one.by_ai else None
    values: list[tuple[str, Any]] = [
        ("Signed by", one.signer), ("Signed with", one.app), ("Stated time", one.created), ("Stated model", one.model),
        ("Stated origin", by), ("Stated consent id", one.consent_id), ("Reasons", ", ".join(one.reasons) or None),
    ]
    return [(name, value) for name, value in values if value]


def _mark_rows(title: str, one: MarkFound) -> list[tuple[str, str]]:
    if one.strength is None:
        return []
    seen, of = one.places
    where = f", read at {seen} of {of} places" if of > 1 else ""
    return [(f"{title}’s mark", f"strength {one.strength:.1f} (above 7.5 there is one){where}")]


def _section(kind: str, body: str) -> str:
    return f'<section class="verdict {kind}" data-verdict="{kind}" aria-label="What the marks show">{body}</section>'
