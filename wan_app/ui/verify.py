"""The Verify tab: a file, or one of one's own results, and what its marks show.

A check is a line in `Services.checks`, watched by a clock of its own, for it may take a while: the browser remembers
it (`checked`: {"check": id}), so that a reload finds it again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.ui import card, verdict
from wan_app.ui.form import uploaded
from wan_app.ui.parts import html, raw
from wan_app.ui.session import who
from wan_app.ui.words import moment

if TYPE_CHECKING:
    from wan_app.runtime.checks import CheckView
    from wan_app.runtime.job import JobView
    from wan_app.services import Services

_TICK = 0.5  # seconds
_CHOICES = 100  # of one's own results
_INTRO = (
    "<p>Is this file from here? Every video that this app makes carries three marks: one in the picture that nobody "
    "sees, one in the sound that nobody hears, and signed Content Credentials. Here they are read.</p>"
)
# On a phone the answer lies below: go there.
_SHOW = """() => {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (window.innerWidth <= 820)
    document.getElementById('verdict').scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'});
}"""
log = logging.getLogger(__name__)
Updates = dict[Any, Any]


@dataclass(kw_only=True)
class Verifying:
    """The tab's components and the services behind them; its methods are the event handlers."""

    services: Services
    tab: Any
    file: Any
    job: Any
    check: Any
    stop: Any
    shown: Any
    checked: Any
    timer: Any

    def outputs(self) -> list[Any]:
        """What a check may change."""
        return [self.checked, self.timer, self.check, self.stop, self.shown]

    def on_check(self, file: Any, job_id: Any) -> Updates:
        """Begin to check the file, or the result that was picked."""
        try:
            view = start_check(self.services, file, job_id)
        except Exception as error:
            return self._ended(_failed(error))
        return self._live(view) | {self.checked: {"check": view.id}}

    def on_tick(self, checked: Any) -> Updates:
        """At each look while a check lives."""
        try:
            view = self._view(checked)
        except Exception as error:
            return self._ended(_failed(error))
        return self._told(view) if view.ended else {self.shown: self._running(view)}

    def on_stop(self, checked: Any) -> Updates:
        """Stop the check."""
        try:
            self.services.checks.cancel(_id(checked), owner=who().owner)
        except Exception as error:
            return self._ended(_failed(error))
        return self._ended(verdict.idle("Stopped."))

    def on_load(self, checked: Any) -> Updates:
        """A page opens again: a check that runs or ended since is shown."""
        try:
            view = self._view(checked)
        except WanAppError:
            return {self.checked: None}
        return self._told(view) if view.ended else self._live(view)

    def on_open(self) -> Any:
        """The tab is opened: its owner's results as they are now."""
        return gr.update(choices=own_results(self.services.jobs(owner=who().owner)))

    def _view(self, checked: Any) -> CheckView:
        return self.services.checks.view(_id(checked), owner=who().owner)

    def _live(self, view: CheckView) -> Updates:
        return self._state(self._running(view), live=True)

    def _ended(self, shown: str) -> Updates:
        return self._state(shown, live=False)

    def _told(self, view: CheckView) -> Updates:
        if view.state == "cancelled":
            return self._ended(verdict.idle("Stopped."))
        if view.error is not None:
            return self._ended(_failed(view.error))
        return self._ended(verdict.answer(view.answer))

    def _running(self, view: CheckView) -> str:
        return verdict.running(view.found, self.services.checks.before(view.id))

    def _state(self, shown: str, *, live: bool) -> Updates:
        return {
            self.shown: shown, self.timer: gr.Timer(active=live), self.check: gr.update(interactive=not live),
            self.stop: gr.update(visible=live),
        }


def start_check(services: Services, file: Any, job_id: Any) -> CheckView:
    """Put a check of an upload, or of a finished job of the one who asks, in line; of both, of the upload.

    Raises:
        InvalidRequest: neither was given, or what was given is no upload. JobNotFound: no such job.
    """
    owner = who().owner
    if file:
        path = uploaded(file, "file")
        assert path is not None
        given = file.get("orig_name") if isinstance(file, Mapping) else None
        return services.checks.start(path, name=given if isinstance(given, str) else "", owner=owner)
    if not job_id:
        raise InvalidRequest("file", "nothing", "a file, or one of your own results")
    job = services.job(job_id, owner=owner)
    if job.result is None:
        raise JobNotFound("job: got one without a result; needed one that has finished")
    return services.checks.start(job.result.file, owner=owner)


def own_results(jobs: list[JobView]) -> list[tuple[str, str]]:
    """(words, job id) of what has been made, newest first."""
    made = [job for job in reversed(jobs) if job.result is not None and job.result.file.is_file()]
    return [(f"{_asked(job)} ({moment(job.created)})", job.id) for job in made[:_CHOICES]]


def remembered(secret: str) -> tuple[gr.BrowserState, gr.Timer]:
    """What goes on out of sight, and must not stand among the tabs: Gradio numbers them by their neighbours, and
    showed the next tab twice. `secret` is the page's for what browsers keep."""
    return gr.BrowserState(None, storage_key="wan-app-checked", secret=secret), gr.Timer(_TICK, active=False)


def build(services: Services, checked: gr.BrowserState, timer: gr.Timer) -> Verifying:
    """The tab's components, within the tabs of the page; the last two are `remembered`."""
    with gr.Tab("Verify", id="verify", elem_id="tab-verify") as tab:
        with gr.Row(elem_id="verify"):
            with gr.Column(scale=5, min_width=300, elem_classes="verify-inputs"):
                html(_INTRO, elem_classes="about-page")
                file = raw(gr.File(
                    label="Video, sound or picture", file_types=["video", "audio", "image"], height=170,
                    elem_classes="verify-file",
                ))
                job = gr.Dropdown([], label="Or one of your own results", filterable=False, elem_classes="verify-job")
                with gr.Row(elem_classes="verify-bar"):
                    check = gr.Button("Check", variant="primary", size="lg", elem_id="verify-check", scale=3)
                    stop = gr.Button("Stop", size="lg", elem_id="verify-stop", visible=False, scale=1, min_width=90)
            with gr.Column(scale=7, min_width=320):
                shown = html(verdict.idle(), elem_id="verdict")
    return Verifying(
        services=services, tab=tab, file=file, job=job, check=check, stop=stop, shown=shown, checked=checked,
        timer=timer,
    )


def wire(one: Verifying, demo: gr.Blocks, quiet: dict[str, Any]) -> None:
    """The events of the tab."""
    options: dict[str, Any] = {"preprocess": False, **quiet}
    one.check.click(None, None, None, js=_SHOW, api_visibility="private")
    one.check.click(one.on_check, [one.file, one.job], one.outputs(), **options)
    one.stop.click(one.on_stop, one.checked, one.outputs(), **quiet)
    one.timer.tick(one.on_tick, one.checked, one.outputs(), trigger_mode="once", **quiet)
    one.tab.select(one.on_open, None, one.job, **quiet)
    demo.load(one.on_load, one.checked, one.outputs(), **quiet)
    # One of the two is meant: the last that was touched.
    one.file.upload(None, None, one.job, js="() => null", api_visibility="private")
    one.job.input(None, None, one.file, js="() => null", api_visibility="private")


def _failed(error: Exception) -> str:
    if not isinstance(error, WanAppError):
        log.error("a check failed", exc_info=error)
    return f'<section class="verdict failed">{card.alert(*card.line_of(error))}</section>'


def _id(checked: Any) -> str:
    found = checked.get("check") if isinstance(checked, dict) else None
    return found if isinstance(found, str) else ""


def _asked(job: JobView) -> str:
    words = " ".join(job.request.prompt.split()) or (job.result.file.name if job.result else "")
    return words if len(words) <= 48 else f"{words[:47]}…"
