"""The queue of whoever looks, under the stage: what runs and what waits, in an order that they may change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.ui import card
from wan_app.ui.parts import html
from wan_app.ui.session import job_of, who

if TYPE_CHECKING:
    from wan_app.runtime.job import JobView
    from wan_app.services import Services
    from wan_app.ui.handlers import Page

log = logging.getLogger(__name__)
Updates = dict[Any, Any]
_ON_LOAD = """
element.addEventListener('click', (event) => {
  const button = event.target.closest && event.target.closest('button[data-act]');
  if (button) trigger('click', {act: button.dataset.act, job: button.dataset.job});
});
"""
# Whoever shows what a job's end changes (the gallery) hears of it here: nobody asks the server a second time.
_ON_LIVING = """
let before = [];
watch('value', () => {
  const now = element.textContent.trim().split(' ');
  if (before.some((job) => job && !now.includes(job))) document.dispatchEvent(new Event('job-ended'));
  before = now;
});
"""
# Lines in a square of 16; arrows and the like are in too few fonts.
_SIGNS = {
    "front": "M3 3h10M8 14V6.5M5 9.5l3-3 3 3", "up": "M8 13V4M4.5 7.5L8 4l3.5 3.5",
    "down": "M8 3v9M4.5 8.5L8 12l3.5-3.5",
    "duplicate": "M6 6h7v7H6zM10 3.5H3.5V10", "cross": "M4 4l8 8M12 4l-8 8",
}
# What can be done with a job that waits, and with the one that runs: (act, sign, words).
_WAITING = (
    ("front", "front", "Make it next"), ("up", "up", "Earlier"), ("down", "down", "Later"),
    ("duplicate", "duplicate", "Once more, with a new seed"), ("remove", "cross", "Remove from the queue"),
)
_RUNNING = (("duplicate", "duplicate", "Once more, with a new seed"), ("cancel", "cross", "Cancel"))


def build() -> tuple[Any, Any]:
    """The list, empty while nothing is in it; and, out of sight, the ids of what it is about."""
    return html("", elem_id="waiting", js_on_load=_ON_LOAD), html("", visible="hidden", js_on_load=_ON_LIVING)


def listing(jobs: Sequence[JobView], shown: str, told: str = "") -> str:
    """The list as HTML; nothing where it would say no more than the stage does.

    Args:
        shown: id of the job on the stage.
        told: what went wrong with the last wish, as HTML.
    """
    others = [job for job in jobs if job.id != shown or job.state != "running"]
    if not told and not [job for job in others if job.id != shown]:
        return ""
    rows = "".join(_row(job, shown=job.id == shown) for job in others)
    return f'<section class="queue" aria-label="Queue"><h3>Queue</h3>{told}<ol>{rows}</ol></section>'


def _row(job: JobView, *, shown: bool) -> str:
    title, note, _ = card.progress(job.event)
    what = "voice test" if job.request.sound_only else job.request.prompt
    acts = _RUNNING if job.state == "running" else _WAITING
    buttons = "".join(
        f'<button type="button" data-act="{act}" data-job="{escape(job.id)}" title="{words}" '
        f'aria-label="{words}: {escape(what[:60])}"><svg viewBox="0 0 16 16" aria-hidden="true">'
        f'<path d="{_SIGNS[sign]}"/></svg></button>'
        for act, sign, words in acts
    )
    said = " · ".join(filter(None, (title, note)))
    watch = "" if shown or job.request.sound_only else (
        f'<button type="button" class="watch" data-act="show" data-job="{escape(job.id)}">Watch</button>'
    )
    return (
        f'<li class="{job.state}{" shown" if shown else ""}"><span class="what"><b dir="auto">{escape(what)}</b>'
        f"<small>{escape(said)}</small></span><span class=\"acts\">{watch}{buttons}</span></li>"
    )


@dataclass(kw_only=True)
class Waiting:
    """The list's handlers. It has a clock of its own, which runs while there is something in the queue."""

    page: Page
    listed: Any
    living: Any
    timer: Any

    @property
    def services(self) -> Services:
        return self.page.services

    def outputs(self) -> list[Any]:
        """What a look may change."""
        return [self.listed, self.living, self.timer]

    def click_outputs(self) -> list[Any]:
        """What a click may change: the stage, too."""
        return [*self.outputs(), self.page.session, *self.page.stage_outputs()]

    def on_tick(self, session: Any) -> Updates:
        """At each look."""
        return self._show(session)

    def on_click(self, session: Any, event: gr.EventData) -> Updates:
        """One of the buttons of a row."""
        data = event._data if isinstance(event._data, dict) else {}
        act, job_id = str(data.get("act")), str(data.get("job"))
        try:
            if act == "show":
                stage = self.page.stage_of(self.services.job(job_id, owner=who().owner))
                return stage | self._show({"job": job_id})
            self._do(act, job_id)
        except Exception as error:
            if not isinstance(error, (WanAppError, JobNotFound)):
                log.error("the queue could not be changed", exc_info=error)
            return self._show(session, card.alert(*card.line_of(error)))
        return self._show(session)

    def _do(self, act: str, job_id: str) -> None:
        owner = who().owner
        if act in ("front", "up", "down"):
            self.services.move(job_id, act, owner=owner)
        elif act == "duplicate":
            self.services.duplicate(job_id, owner=owner)
        elif act == "remove":
            self.services.remove(job_id, owner=owner)
        elif act == "cancel":
            self.services.cancel(job_id, owner=owner)
        else:
            raise InvalidRequest("act", repr(act)[:40], "front, up, down, duplicate, remove, cancel or show")

    def _show(self, session: Any, told: str = "") -> Updates:
        try:
            jobs = self.services.living(owner=who().owner)
            shown = listing(jobs, job_of(session), told)
        except WanAppError as error:
            return {self.listed: card.alert(*card.line_of(error)), self.timer: gr.Timer(active=False)}
        living = " ".join(job.id for job in jobs)
        return {self.listed: shown, self.living: living, self.timer: gr.Timer(active=bool(jobs))}
