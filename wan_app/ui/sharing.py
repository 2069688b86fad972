"""The Sharing tab, for the owner only: guest links, made and taken back. And who one is, in the header."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from wan_app.errors import InvalidRequest, WanAppError
from wan_app.settings import Settings
from wan_app.sharing.flags import address_of
from wan_app.sharing.guests import Guest
from wan_app.ui import card
from wan_app.ui.parts import html
from wan_app.ui.session import asked_at, who

if TYPE_CHECKING:
    from wan_app.services import Services

# (field, label, value, most)
_LIMITS = (("days", "Days", 7, 365), ("jobs", "Videos", 20, 1000), ("seconds", "Seconds", 120, 100_000),
           ("places", "At a time", 2, 20))
_LEAVE = '<form method="post" action="logout"><button type="submit">{}</button></form>'
_CLOSED = (
    "<p><b>It opens on this computer only</b> until the studio is opened to others: see above. The link stays good; "
    "its beginning will be the address that the studio prints then.</p>"
)
log = logging.getLogger(__name__)
Updates = dict[Any, Any]


@dataclass(kw_only=True)
class SharingTab:
    """Its components and handlers."""

    services: Services
    settings: Settings
    me: Any
    tab: Any
    told: Any
    table: Any
    fields: dict[str, Any]
    make: Any
    open_links: Any
    revoke: Any

    def outputs(self) -> list[Any]:
        """What any of the events may change."""
        return [self.me, self.tab, self.told, self.table, self.open_links]

    def on_load(self) -> Updates:
        """A page opens: what the one who opens it may see."""
        try:
            me = who()
            rows = self._rows() if me.manages else {}
            return {self.me: self._badge(), self.tab: gr.update(visible=me.manages), **rows}
        except WanAppError as error:
            return {self.told: card.alert(*card.line_of(error))}

    def on_make(self, *values: Any) -> Updates:
        """A new link, shown this once."""
        def make() -> str:
            guest, token = self.services.guests.create(**dict(zip(self.fields, values)))
            link = escape(address_of(token, asked_at(self.settings.sharing.root_path)))
            return (
                f'<div class="link" role="status"><b>Send this to {escape(guest.label or "your guest")}.</b> '
                'It is shown only now.<input readonly aria-label="Guest link" '
                f'value="{link}" onfocus="this.select()">{_CLOSED if self.settings.local else ""}</div>'
            )

        return self._do(make)

    def on_revoke(self, guest_id: Any) -> Updates:
        """Take a link back."""
        def revoke() -> str:
            guest = self.services.revoke(guest_id if isinstance(guest_id, str) else "")
            told = f"The link of {escape(guest.label or guest.id)} opens nothing now, and its jobs are stopped."
            return f'<div class="link" role="status">{told}</div>'

        return self._do(revoke)

    def _do(self, act: Callable[[], str]) -> Updates:
        try:
            if not who().manages:
                raise InvalidRequest("guest", "a guest's wish", "the owner of this studio")
            return {self.told: act(), **self._rows()}
        except Exception as error:
            if not isinstance(error, WanAppError):
                log.error("sharing failed", exc_info=error)
            return {self.told: card.alert(*card.line_of(error))}

    def _rows(self) -> Updates:
        links = self.services.guests.all()
        choices = [(f"{one.label or 'Guest'} ({one.id})", one.id) for one in links if one.state == "open"]
        return {self.table: _table(links), self.open_links: gr.update(choices=choices, value=None)}

    def _badge(self) -> str:
        me = who()
        if me.guest:
            guest = self.services.guests.get(me.guest)
            left = max(0, guest.jobs - guest.used_jobs)
            seconds = max(0.0, guest.seconds - guest.used_seconds)
            day = guest.to_json()["expires"][:10]
            return f"<span>Guest until {day}: {left} videos, {seconds:.4g} s left</span>{_LEAVE.format('Leave')}"
        return _LEAVE.format("Sign out") if me.manages and me.session else ""


def build(services: Services, settings: Settings, me: Any) -> SharingTab:
    """The tab, out of sight until `on_load` knows who looks; `me` is the place in the header."""
    with gr.Tab("Sharing", id="sharing", elem_id="tab-sharing", visible=False) as tab:
        html(_about(settings), elem_classes="about-page")
        fields: dict[str, Any] = {"label": gr.Textbox(label="For whom", placeholder="Ann", max_lines=1)}
        with gr.Row():
            for name, label, value, most in _LIMITS:
                fields[name] = gr.Number(value, label=label, minimum=1, maximum=most, precision=0, min_width=110)
        make = gr.Button("Make a guest link", variant="primary", elem_classes="make-link")
        told = html("", elem_classes="told")
        table = html("", elem_classes="about-page")
        with gr.Row():
            open_links = gr.Dropdown([], label="Take a link back", filterable=False, elem_classes="open-links", scale=3)
            revoke = gr.Button("Take back", elem_classes="revoke-link", scale=1, min_width=110)
    return SharingTab(
        services=services, settings=settings, me=me, tab=tab, told=told, table=table, fields=fields, make=make,
        open_links=open_links, revoke=revoke,
    )


def _about(settings: Settings) -> str:
    alone = (
        "<p>Just now only this computer reaches the studio. Open it with <code>--share</code>, or with "
        "<code>--host 0.0.0.0</code> for your own network, and links lead to it.</p>" if settings.local else ""
    )
    return (
        f"<h2>Guest links</h2>{alone}<p>A guest needs no password. They see their own videos only, have so many videos "
        "and seconds, and can neither download models nor accept licences. Their videos carry a visible label.</p>"
    )


def _table(links: list[Guest]) -> str:
    if not links:
        return "<p>There are no guest links yet.</p>"
    rows = "".join(
        f"<tr><td><b>{escape(one.label or 'Guest')}</b><br><code>{one.id}</code></td><td>{one.state}</td>"
        f"<td>{one.to_json()['expires'][:10]}</td><td>{one.used_jobs} of {one.jobs}</td>"
        f"<td>{one.used_seconds:.4g} of {one.seconds:.4g} s</td><td>{one.places}</td></tr>"
        for one in reversed(links)
    )
    return (
        "<div class='scroll'><table><thead><tr><th>For</th><th>State</th><th>Until</th><th>Videos</th><th>Length</th>"
        f"<th>At a time</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
