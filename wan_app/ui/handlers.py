"""What happens on a click, a tick and a load. Each returns {component: update}; errors end in the card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import gradio as gr

from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.types import SoundtrackMode
from wan_app.ui import about, card, examples, speed
from wan_app.ui.delivery import deliver, public_request, public_result
from wan_app.ui.files import file_url
from wan_app.ui.form import build_request
from wan_app.ui.panel import GIVEN, Catalogue, Panel
from wan_app.ui.parts import line
from wan_app.ui.reference import slot_head
from wan_app.ui.session import asked_for, job_of, who
from wan_app.ui.stage import Stage
from wan_app.ui.words import length_range, readout, say_hint, shape_choices

if TYPE_CHECKING:
    from wan_app.families.spec import ModelSpec
    from wan_app.runtime.job import JobView
    from wan_app.services import Services

log = logging.getLogger(__name__)
Updates = dict[Any, Any]
_GIVE_AGAIN = (
    '<p role="status"><b>Give pictures and recordings again.</b> A browser does not keep them over '
    "a reload. People of the Cast come back by their names in the prompt.</p>"
)


@dataclass(kw_only=True)
class Page:
    """The page's components and the services behind them; its methods are the event handlers.

    `session` is kept in the browser: {"job": id of the job on the stage}. Whose it is, the gate knows.
    """

    services: Services
    catalogue: Catalogue
    panels: list[Panel]
    stage: Stage
    tabs: Any
    session: Any
    timer: Any
    table: Any  # of the models, on the About tab
    queue_timer: Any  # of the list of what waits
    # Events that put pictures of people into a form, or take some out: Gradio's Gallery tells of changes by hand only.
    fills: list[Any] = field(default_factory=list)
    empties: list[Any] = field(default_factory=list)
    warmed: bool = False

    # What an event may change. Gradio makes every output anew at each event, changed or not, so
    # the lists are kept short, that of the tick above all.

    def stage_outputs(self) -> list[Any]:
        """The stage, the clock, and what follows a job in the tabs."""
        one = self.stage
        shown = [one.card, one.actions, one.download, one.details, one.facts, self.timer, self.queue_timer]
        return shown + [part for panel in self.panels for part in (panel.generate, panel.cancel, panel.fields["seed"])]

    def example_outputs(self, panel: Panel) -> list[Any]:
        """What an example fills."""
        names = ("prompt", "say", "image", "faces1", "voice1")
        given = [panel.fields[name] for name in names if name in panel.fields]
        return self.stage_outputs() + given

    def load_outputs(self) -> list[Any]:
        """Everything but the pictures, which a reload does not bring back."""
        forms = [part for panel in self.panels for part in panel.form if part is not panel.fields["seed"]]
        return [self.session, self.table, *self.stage_outputs(), *forms]

    def last_frame_outputs(self) -> list[Any]:
        """The Image tab and its first picture."""
        return [self.stage.card, self.tabs, *(panel.fields["image"] for panel in self.panels if panel.mode == "image")]

    # --- making -----------------------------------------------------------------------------

    def on_generate(self, panel: Panel) -> Callable[..., Updates]:
        """The handler of a tab's Generate: its inputs are the tab's fields."""

        def generate(*values: Any) -> Updates:
            named = dict(zip(panel.fields, values))
            form = speed.from_page(named)
            folder = self.services.settings.loras_dir
            return self._submit(lambda: speed.with_speed(build_request(panel.mode, form), form, folder))

        return generate

    def on_again(self, session: Any) -> Updates:
        """The job on the stage once more, with a seed of its own."""
        return self._submit(lambda: replace(self._job(session).request, seed=None))

    def on_cancel(self, session: Any) -> Updates:
        """Stop the job on the stage; its end is shown by the next tick."""
        try:
            self.services.cancel(job_of(session), owner=who().owner)
        except Exception as error:
            return self._failed(error)
        return self.on_tick(session)

    def on_tick(self, session: Any) -> Updates:
        """At each look while a job lives: the card; at its end, everything else too."""
        try:
            job = self._job(session)
        except JobNotFound as error:
            return self._failed(error)
        except Exception as error:
            # The job goes on although it could not be looked at (a busy ledger): the clock runs on too.
            return {self.stage.card: self._failed(error)[self.stage.card]}
        try:
            return self._show(job) if job.ended else {self.stage.card: card.running(job)}
        except Exception as error:
            return self._failed(error)

    def on_load(self, session: Any, *forms: Any) -> Updates:
        """A page opens, or opens again: bring the form back and the job that was on the stage."""
        if not self.warmed:
            # Only once: a later call would put out a larger model that somebody uses.
            self.warmed = True
            self.services.warm()
        shown: Updates = {self.session: {"job": job_of(session) or None}}
        shown |= self.refresh([panel.fields["model"].value for panel in self.panels])
        for panel, form in zip(self.panels, forms):
            shown |= self.restore(panel, form)
        try:
            job = self._stage_at_load(session)
        except WanAppError as error:
            return shown | self._stage(card.failed_with(error), live=True)
        if job is None:
            return shown
        return shown | self.stage_of(job)

    def _stage_at_load(self, session: Any) -> JobView | None:
        """The job that was on the stage; if it has ended, one that is in the making. Where a connection that broke off
        swallowed the answer to a Generate, the newest."""
        try:
            job = self._job(session) if job_of(session) else None
        except JobNotFound:
            job = None
        if job and not job.ended:
            return job
        found = self._living()
        if not found and asked_for(session):
            mine = reversed(self.services.jobs(owner=who().owner))
            found = next((one for one in mine if not one.request.sound_only), None)
        return found or job

    def on_last_frame(self, session: Any) -> Updates:
        """The last frame of the video on the stage becomes the first picture of the Image tab."""
        from wan_app.media.stills import last_frame

        try:
            job = self._job(session)
            if job.result is None:
                raise InvalidRequest("image", "no video", "a finished video")
            still = last_frame(Path(deliver(job.id, job.result, job.request)))
        except Exception as error:
            return {self.stage.card: self._failed(error)[self.stage.card]}
        image = next(panel for panel in self.panels if panel.mode == "image")
        return {image.fields["image"]: str(still), self.tabs: gr.Tabs(selected="image")}

    def on_example(self, panel: Panel) -> Callable[[gr.EventData], Updates]:
        """The handler of a tab's example row."""

        def choose(event: gr.EventData) -> Updates:
            found = examples.of_mode(panel.mode)
            index = event._data.get("index") if isinstance(event._data, dict) else None
            if not isinstance(index, int) or not 0 <= index < len(found):
                return {self.stage.card: gr.skip()}
            return self._play_example(panel, found[index])

        return choose

    # --- the form ---------------------------------------------------------------------------

    def on_model(self, panel: Panel) -> Callable[..., Updates]:
        """The handler of a tab's model list: limits, shapes and help follow the model."""

        def change(model: Any, size: Any, seconds: Any) -> Updates:
            spec = self.catalogue.chosen(panel.mode, model)
            return self._limits(panel, spec.id, size, seconds) | self._emptied(panel, spec) | {
                panel.fields["num_inference_steps"]: _scale(spec.num_inference_steps, spec.max_inference_steps),
                panel.fields["guidance_scale"]: _scale(spec.guidance_scale, spec.max_guidance_scale),
            } | speed.limits(panel, spec, self.services.settings.loras_dir)

        return change

    def on_size(self, model: Any, size: Any, seconds: Any) -> str:
        """What a shape and a length come to."""
        spec = self.catalogue.specs.get(model) if isinstance(model, str) else None
        return readout(spec, size, seconds) if spec else ""

    def on_add_slot(self, panel: Panel) -> Callable[..., Updates]:
        """The handler of "Add a character": opens the next slot."""

        def add(opened: int, model: Any) -> Updates:
            spec = self.catalogue.chosen(panel.mode, model)
            now = min(opened + 1, spec.max_characters)
            return {panel.slots[now - 1]: gr.update(visible=True), panel.opened: now,
                    panel.add_slot: gr.update(visible=now < spec.max_characters)}

        return add

    # --- pieces -----------------------------------------------------------------------------

    def _submit(self, make: Callable[[], Any]) -> Updates:
        """Queue what is asked for. What is being made stays on the stage; the new one is in the list below."""
        try:
            owner = who().owner
            working = self._living()
            job = self.services.job(self.services.submit(make(), owner=owner), owner=owner)
        except Exception as error:
            return self._failed(error)
        return self.stage_of(working or job)

    def stage_of(self, job: JobView) -> Updates:
        """The stage with a job on it, as it stands."""
        return {self.session: {"job": job.id}} | (self._show(job) if job.ended else self._live(job))

    def _job(self, session: Any) -> JobView:
        return self.services.job(job_of(session), owner=who().owner)

    def _living(self) -> JobView | None:
        """The first job that works or waits, if it makes a video: a browser which knows of none takes it up."""
        jobs = self.services.living(owner=who().owner)
        return next((job for job in jobs if not job.request.sound_only), None)

    def _live(self, job: JobView) -> Updates:
        return self._stage(card.running(job), live=True)

    def _end(self, html: str) -> Updates:
        return self._stage(html, live=False)

    def _failed(self, error: Exception) -> Updates:
        """An error, ours or not: the page must never be left waiting. The log keeps what is not ours."""
        if not isinstance(error, WanAppError):
            log.error("a handler of the page failed", exc_info=error)
        return self._end(card.failed_with(error))

    def _show(self, job: JobView) -> Updates:
        """A job that ended."""
        if job.state == "cancelled":
            return self._end(card.cancelled(job.error or ""))
        if job.result is None:
            return self._end(card.failed(job.error or "It failed without saying why.", job.error_kind or ""))
        if not job.result.file.is_file():
            return self._end(card.failed("The file of this video cannot be read: it is gone"))
        panel = next(panel for panel in self.panels if panel.mode == job.mode)
        return self._end(card.finished(job.result, file_url(job), job.request.prompt)) | {
            self.stage.actions: gr.update(visible=True),
            self.stage.download: gr.update(link=file_url(job, download=True)),
            self.stage.details: gr.update(visible=True),
            self.stage.facts: {
                "settings": public_request(job.request), "result": public_result(job.result), "job": job.id,
            },
            panel.fields["seed"]: job.result.seed,
        }

    def _stage(self, html: str, *, live: bool) -> Updates:
        updates: Updates = {
            self.stage.card: html,
            self.timer: gr.Timer(active=live),
            self.stage.actions: gr.update(visible=False),
            self.stage.details: gr.update(visible=False),
        }
        if live:
            updates[self.queue_timer] = gr.Timer(active=True)
        for panel in self.panels:
            updates[panel.generate] = "Add to the queue" if live else "Generate"
            updates[panel.cancel] = gr.update(visible=live)
        return updates

    def _limits(self, panel: Panel, model: str, size: Any, seconds: Any) -> Updates:
        spec = self.catalogue.specs[model]
        choices, reach = shape_choices(spec), length_range(spec)
        size = size if size in [value for _, value in choices] else choices[0][1]
        if not isinstance(seconds, (int, float)) or not reach.low <= seconds <= reach.high:
            seconds = reach.default
        updates: Updates = {
            panel.fields["size"]: gr.update(choices=choices, value=size),
            panel.fields["seconds"]: gr.update(
                minimum=reach.low, maximum=reach.high, step=reach.step, value=seconds
            ),
            panel.readout: readout(spec, size, seconds),
            panel.notice: self.catalogue.notice(spec),
            panel.fields["say"]: gr.update(info=say_hint(panel.mode, spec)),
        }
        if panel.mode == "image":
            updates[panel.last_column] = gr.update(visible=spec.takes_last_image)
        if panel.mode == "reference":
            updates |= self._slot_limits(panel, spec)
        return updates

    def _slot_limits(self, panel: Panel, spec: ModelSpec) -> Updates:
        updates: Updates = {panel.opened: 1, panel.add_slot: gr.update(visible=spec.max_characters > 1)}
        for number, slot in enumerate(panel.slots, 1):
            updates[slot] = gr.update(visible=number == 1)
            updates[panel.heads[number - 1]] = slot_head(number, spec.max_reference_images)
            updates[panel.voice_areas[number - 1]] = gr.update(visible=number <= spec.voices)
        return updates

    def _emptied(self, panel: Panel, spec: ModelSpec) -> Updates:
        """Pictures and voices that the model's tab no longer shows must not be sent along."""
        shown = ("faces1", "voice1") if spec.voices else ("faces1",)
        hidden = [name for name in panel.uploads if name.startswith(("faces", "voice")) and name not in shown]
        if not spec.takes_last_image and "last_image" in panel.fields:
            hidden.append("last_image")
        return {panel.fields[name]: None for name in hidden}

    def refresh(self, models: Sequence[Any]) -> Updates:
        """Which models are here, which may have changed since the studio was started (2 ms).

        Args:
            models: the one that each tab has chosen.
        """
        self.catalogue = Catalogue.of(self.services.models())
        updates: Updates = {self.table: about.models(self.catalogue)}
        for panel, model in zip(self.panels, models):
            updates[panel.fields["model"]] = gr.update(choices=self.catalogue.choices(panel.mode))
            updates[panel.notice] = self.catalogue.notice(self.catalogue.chosen(panel.mode, model))
        return updates

    def restore(self, panel: Panel, form: Any) -> Updates:
        """The form as it was left, as far as it still makes sense for its model."""
        if not isinstance(form, dict):
            return {}
        known = {name: form[name] for name in panel.kept if name in form}
        model = known.pop("model", None)
        if model not in [spec.id for spec in self.catalogue.doing(panel.mode)]:
            return {panel.fields[name]: known.get(name, "") for name in ("prompt", "say") if name in panel.fields}
        updates = self._limits(panel, model, known.pop("size", None), known.pop("seconds", None))
        spec = self.catalogue.specs[model]
        updates |= speed.limits(panel, spec, self.services.settings.loras_dir)
        told = line(speed.restored(panel, updates, known))
        if "say" in known:
            updates[panel.fields["say"]]["value"] = known.pop("say")
        if known.get("soundtrack_mode") not in get_args(SoundtrackMode):
            known.pop("soundtrack_mode", None)
        scales = {
            "num_inference_steps": (spec.num_inference_steps, spec.max_inference_steps),
            "guidance_scale": (spec.guidance_scale, spec.max_guidance_scale),
        }
        for name, (usual, top) in scales.items():
            value = known.pop(name, None)
            sensible = isinstance(value, (int, float)) and 1 <= value <= top
            updates[panel.fields[name]] = _scale(value if sensible else usual, top)
        updates[panel.fields["model"]] = gr.update(choices=self.catalogue.choices(panel.mode), value=model)
        told += _GIVE_AGAIN if form.get(GIVEN) is True else ""
        if told:
            updates[panel.again] = told
        return updates | {panel.fields[name]: value for name, value in known.items()}

    def _play_example(self, panel: Panel, one: examples.Example) -> Updates:
        given: dict[str, Any] = {
            "prompt": one.prompt, "say": one.say, "image": one.image and str(one.image),
            "faces1": [str(face) for face in one.faces] or None, "voice1": one.voice and str(one.voice),
        }
        updates = self._end(card.example(str(one.file), one.prompt, one.label, one.model, sound=one.sound))
        # One without a voice empties the field: the face of one person must not speak as another.
        return updates | {panel.fields[name]: value for name, value in given.items() if name in panel.fields}


def _scale(value: float, top: float) -> Updates:
    """A slider from 1 to `top`; out of sight for a model that knows 1 only (distilled, without guidance)."""
    return gr.update(visible=True, maximum=top, value=value) if top > 1 else gr.update(visible=False, value=1)
