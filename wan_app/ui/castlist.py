"""The cast as pieces of HTML: a card for each person, and chips that put a name into a prompt. No gradio."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from wan_app.library.cast import Likeness, Member
from wan_app.ui.keepsakes import face_url
from wan_app.ui.report import looks

_NOBODY = (
    '<div class="bare"><b>Nobody in your cast yet</b><p>Give somebody a name, a face picture and perhaps a recording '
    "of their voice. After that, their name in any prompt brings them in: <i>Mia waves at the beach</i>.</p></div>"
)
_VOICE = (
    '<svg viewBox="0 0 48 48" aria-hidden="true"><path d="M8 21v6M16 14v20M24 8v32M32 15v18M40 20v8"/></svg>'
)


def cards(members: Sequence[Member]) -> str:
    """Everybody, by name."""
    if not members:
        return _NOBODY
    return f'<ul class="people-cards">{"".join(map(_card, members))}</ul>'


def chips(members: Sequence[Member]) -> str:
    """Names to put into a prompt; nothing where there is nobody."""
    if not members:
        return ""
    found = "".join(
        f'<button type="button" class="chip" data-name="{escape(one.name)}" aria-pressed="false" '
        f'title="Put {escape(one.name)} into the prompt{"" if one.state == "valid" else ": consent is missing"}" '
        f'data-state="{one.state}">{_face(one, 0)}<span>{escape(one.name)}</span></button>'
        for one in members
    )
    return (
        f'<div class="chips-row"><span class="chips-title">Your cast</span>{found}</div>'
        '<p class="chips-hint">Faces and voices come from your cast, and so does the consent.</p>'
    )


def heading(one: Member | None) -> str:
    """Over the form: whom it is about."""
    if one is None:
        return "<h2>Somebody new</h2>"
    return f"<h2>Change {escape(one.name)}</h2><p>Other pictures or another voice need the statement below again.</p>"


def asked(data: Any) -> tuple[str, str]:
    """(what to do, with whom) as the cards' script said; anybody can send anything."""
    given = data if isinstance(data, dict) else {}
    act, member = given.get("act"), given.get("id")
    return (act if isinstance(act, str) else ""), (member if isinstance(member, str) else "")


def _card(one: Member) -> str:
    given = f"{len(one.faces)} picture{'' if len(one.faces) == 1 else 's'}" if one.faces else ""
    what = " and a voice" if one.voice and given else "A voice" if one.voice else ""
    hear = f'<button type="button" data-act="hear" data-id="{one.id}">Hear the voice</button>' if one.voice else ""
    few = "".join(_face(one, number) for number in range(1, min(4, len(one.faces))))
    return (
        f'<li class="person" data-id="{one.id}"><div class="faces-of">{_face(one, 0)}'
        f'{f"<span class=few>{few}</span>" if few else ""}</div><div class="about-them"><h3>{escape(one.name)}</h3>'
        f"<p>{given}{what}</p>{_consent(one)}{_alike(one.likeness)}"
        f'<div class="do"><button type="button" class="main" data-act="use" data-id="{one.id}">Use in a video</button>'
        f'{hear}<button type="button" data-act="edit" data-id="{one.id}">Change</button>'
        '<details class="danger"><summary>Remove</summary><div class="menu"><p>Pictures and voice go, unless a video '
        "was made with them. Videos and the record of consent stay.</p>"
        f'<button type="button" class="stop" data-act="remove" data-id="{one.id}">Remove {escape(one.name)}</button>'
        "</div></details></div></div></li>"
    )


def _face(one: Member, number: int) -> str:
    if number >= len(one.faces):
        return f'<span class="no-face">{_VOICE}</span>'
    return f'<img loading="lazy" alt="" src="{escape(face_url(one.id, number, one.faces[number].stem))}">'


def _consent(one: Member) -> str:
    said = {
        "valid": f"Consent until {escape(one.until[:10])}",
        "expired": f"Consent ran out on {escape(one.until[:10])}: state it anew under About" if one.until else
        "No consent is recorded: press Change and state it",
        "withdrawn": "Consent was withdrawn: state it anew under About",
    }[one.state]
    return f'<p class="consent-state" data-state="{one.state}">{said}</p>'


def _alike(likeness: Likeness) -> str:
    if likeness.identity is None:
        return '<p class="alike">No video was measured yet.</p>' if not likeness.videos else ""
    fact, meaning = looks(min(1.0, max(0.0, likeness.identity)))
    share = fact.rpartition(": ")[2]
    videos = f"{likeness.videos} video{'' if likeness.videos == 1 else 's'}"
    timbre = f", voice {100 * likeness.timbre:.0f}\u00a0% alike" if likeness.timbre is not None else ""
    return f'<p class="alike" title="{escape(meaning)}">{share} like the pictures{timbre}, over {videos}</p>'
