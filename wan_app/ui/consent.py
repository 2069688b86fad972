"""Consent on the page: what the tick states, and the list of what was stated, with ways to take it back."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from wan_app.consent.ledger import KEEPER, STATEMENT, Consent, counted
from wan_app.errors import InvalidRequest, WanAppError
from wan_app.settings import Settings
from wan_app.sharing.who import Who
from wan_app.ui import card
from wan_app.ui.parts import html
from wan_app.ui.session import who

if TYPE_CHECKING:
    from wan_app.services import Services

# A tick was about the pictures and recordings that were there.
UNTICK = "() => false"
_SHOWN = 100  # people in the list, the latest
_THUMB = 112  # pixels, twice as many as its place on the page
_ON_LOAD = """
element.addEventListener('click', (event) => {
  const button = event.target.closest && event.target.closest('button[data-act]');
  if (button) trigger('click', {act: button.dataset.act, id: button.dataset.id});
});
"""
log = logging.getLogger(__name__)
Updates = dict[Any, Any]


# --- On the Reference tab --------------------------------------------------------------------


def stating(values: Mapping[str, Any], settings: Settings, one: Who, today: datetime | None = None) -> str:
    """Who states it, for whom, and until when: the lines under the tick, for the uploads `faces1`, `voice1`..."""
    today = today or datetime.now(timezone.utc)
    people = [
        f"<b>character{number}</b> ({counted(len(faces), bool(values.get(f'voice{number}')))})"
        for number in range(1, 10)
        if (faces := _listed(values.get(f"faces{number}"))) or values.get(f"voice{number}")
    ]
    until = _day((today + timedelta(days=settings.consent_days)).isoformat())
    return (
        f"<dl><dt>Who states it</dt><dd>you, {escape(_title(one))}</dd>"
        f"<dt>For whom</dt><dd>{' and '.join(people) or 'nobody yet: give a face picture or a voice above'}</dd>"
        f"<dt>Until when</dt><dd>{until}, unless you withdraw it before, under About. Stating it again prolongs "
        "nothing.</dd></dl><p>It is written down with the time and a fingerprint of each file, and asked again "
        "whenever a picture or a recording changes.</p>"
    )


def _title(one: Who) -> str:
    if one.manages:
        return "whose studio this is"
    return f"as the guest “{one.label or one.guest}”" if one.role == "guest" else "as a visitor of this page"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- On the About tab ------------------------------------------------------------------------


@dataclass(frozen=True)
class Statements:
    """Components of the list: the list itself, the statement to make anew, what went wrong."""

    listed: Any
    words: Any
    told: Any


def section() -> Statements:
    """The list, empty until somebody looks at the tab."""
    html("<h2>People</h2><p>For whom you stated consent. What is withdrawn is refused from then on, also to jobs "
         "that wait; videos that are made already stay where they are.</p>", elem_classes="about-page")
    listed = html("", elem_classes="about-page statements", js_on_load=_ON_LOAD)
    words = gr.Checkbox(False, label=STATEMENT, visible=False, elem_classes="consent anew")
    return Statements(listed, words, html("", elem_classes="needs"))


@dataclass(kw_only=True)
class People:
    """The list's handlers."""

    services: Services
    parts: Statements

    def outputs(self) -> list[Any]:
        """All that a click may change."""
        return [self.parts.listed, self.parts.words, self.parts.told]

    def on_look(self) -> Updates:
        """The tab is opened."""
        return self._show("", asked=False)

    def on_click(self, ticked: Any, event: gr.EventData) -> Updates:
        """Withdraw, or state anew: the latter with the statement ticked, each time anew."""
        data = event._data if isinstance(event._data, dict) else {}
        try:
            if data.get("act") not in ("withdraw", "renew"):
                raise InvalidRequest("consent", "an unknown wish", "withdraw or renew")
            if data.get("act") == "withdraw":
                self.services.withdraw_consent(str(data.get("id")), owner=who().owner)
            elif ticked is not True:
                raise InvalidRequest(
                    "consent", "no tick", "a tick at the statement below, if it is true, and then State anew again"
                )
            else:
                self.services.renew_consent(str(data.get("id")), STATEMENT, owner=who().owner)
        except Exception as error:
            if not isinstance(error, WanAppError):
                log.error("consent could not be changed", exc_info=error)
            return self._show(card.alert(*card.line_of(error)), asked=data.get("act") != "withdraw")
        return self._show("", asked=False)

    def _show(self, told: str, *, asked: bool) -> Updates:
        try:
            owner = who().owner
            rows = self.services.consents(owner=owner)
            shown = listing(rows, self.services.settings.inputs_dir, keeper=owner == KEEPER)
        except WanAppError as error:
            shown, told = "", card.alert(*card.line_of(error))
        return {
            self.parts.listed: shown, self.parts.words: gr.update(visible=asked, value=False), self.parts.told: told,
        }


def listing(rows: list[Consent], inputs: Path, *, keeper: bool) -> str:
    """The latest people, newest first; for the keeper of the machine with who stated it."""
    if not rows:
        return "<p>Nobody yet.</p>"
    latest = "".join(_row(row, inputs, keeper=keeper) for row in reversed(rows[-_SHOWN:]))
    rest = f"<p>And {len(rows) - _SHOWN} older ones.</p>" if len(rows) > _SHOWN else ""
    return f"<ul>{latest}</ul>{rest}"


def _row(row: Consent, inputs: Path, *, keeper: bool) -> str:
    picture = _thumb(inputs / f"{row.faces[0]}.png") if row.faces else ""
    image = f'<img alt="" src="{picture}">' if picture else '<span class="nobody" aria-hidden="true"></span>'
    by = f" by {escape(row.owner)}" if keeper and row.owner != KEEPER else ""
    state = {
        "valid": f"holds until {_day(row.until)}", "expired": f"ran out on {_day(row.until)}",
        "withdrawn": f"withdrawn on {_day(row.withdrawn or row.until)}",
    }[row.state]
    act, label = ("withdraw", "Withdraw") if row.state == "valid" else ("renew", "State anew")
    names = escape(", ".join(row.names))
    return (
        f'<li data-state="{row.state}">{image}<span><b>{names}</b> {row.given}<br>'
        f"<small>stated on {_day(row.stated)}{by}, {state}</small></span>"
        f'<button type="button" data-act="{act}" data-id="{escape(row.id)}" '
        f'aria-label="{label}: {names}">{label}</button></li>'
    )


@lru_cache(maxsize=256)
def _thumb(path: Path) -> str:
    """A stored face as a small data: address; "" if it is not there any more."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.thumbnail((_THUMB, _THUMB))
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "JPEG", quality=80)
    except OSError:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _day(time: str) -> str:
    """ "22 November 2027" """
    day = datetime.fromisoformat(time)
    return f"{day.day} {day:%B %Y}"
