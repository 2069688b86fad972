"""What is told and done before the click: what the chosen model still needs, and whether the video fits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from wan_app.errors import InvalidRequest, WanAppError
from wan_app.families.spec import ModelSpec
from wan_app.families.weights.download import target_of
from wan_app.types import Character, GenerationRequest
from wan_app.ui import card
from wan_app.ui.gauge import gauge
from wan_app.ui.handlers import Page, Updates
from wan_app.ui.needs import Need, need_of
from wan_app.ui.panel import Panel
from wan_app.ui.session import who
from wan_app.ui.words import parse_size, shape_choices

log = logging.getLogger(__name__)
Form = dict[str, Any]


@dataclass(kw_only=True)
class Before:
    """The gauges, licences and downloads of the making tabs; its methods are the event handlers.

    Whoever does not manage the studio sees no buttons, and is refused without them, too.
    """

    page: Page
    timer: Any

    def inputs(self) -> list[Any]:
        """What decides a video's cost, on every tab."""
        return [one for panel in self.page.panels for one in panel.costing.values()]

    def slot_outputs(self, panel: Panel) -> list[Any]:
        """What a tab shows of its model's needs."""
        one = panel.shelf
        return [one.area, one.card, one.words, one.accept, one.download, one.stop]

    def outputs(self) -> list[Any]:
        """All that changes when a model comes or goes."""
        panels = self.page.panels
        slots = [part for panel in panels for part in self.slot_outputs(panel)]
        rest = [part for panel in panels for part in (panel.gauge, panel.notice, panel.fields["model"])]
        return [self.timer, self.page.table, *slots, *rest]

    # --- whether it fits --------------------------------------------------------------------

    def on_form(self, panel: Panel) -> Callable[..., str]:
        """The handler of all inputs of a tab that cost something."""
        return lambda *values: self._gauge(panel, dict(zip(panel.costing, values)))

    def _gauge(self, panel: Panel, form: Form) -> str:
        try:
            return gauge(self.page.services.fit(self._request(panel, form)), self.page.catalogue.titles)
        except WanAppError:
            # Half-typed numbers; Generate names the field.
            return ""
        except Exception:
            log.exception("the gauge failed")
            return ""

    def _request(self, panel: Panel, form: Form) -> GenerationRequest:
        """As much of the request as a plan needs: no words, no files."""
        spec = self.page.catalogue.chosen(panel.mode, form["model"])
        sizes = [value for _, value in shape_choices(spec)]
        # A model's change reaches the server before the shapes and pictures have followed it.
        width, height = parse_size(form["size"] if form["size"] in sizes else sizes[0])
        faces = sum(len(value) for name, value in form.items() if name.startswith("faces") and isinstance(value, list))
        person = Character(name="character1", faces=(Path("face"),) * min(faces, spec.max_reference_images))
        return GenerationRequest(
            mode=panel.mode, prompt="", model=spec.id, width=width, height=height, seconds=form["seconds"],
            characters=(person,) if person.faces else (), **_scales(spec, form),
        )

    # --- what the model needs ---------------------------------------------------------------

    def on_model(self, panel: Panel) -> Callable[..., Updates]:
        """The handler of a tab's model list, and of its presets."""
        return lambda model, preset="quality": self._slot(panel, self._need(panel, model, preset))

    def on_load(self, *values: Any) -> Updates:
        """A page opens: everything, and the clock if something is on its way."""
        return self._everything(self._forms(values))

    def on_tick(self, *values: Any) -> Updates:
        """At each look while a download lives."""
        forms = self._forms(values)
        if not self._live() or any(view.result for view in self.page.services.downloads() if self._awaited(view.model)):
            return self._everything(forms)
        updates: Updates = {self.timer: gr.skip()}  # Gradio takes no empty answer
        for panel, form in zip(self.page.panels, forms):
            need = self._need(panel, **_choice(form))
            # Not where a licence is being read: the box would lose its tick.
            if need.target:
                updates |= self._slot(panel, need)
        return updates

    def on_accept(self, panel: Panel) -> Callable[..., Updates]:
        """The handler of "Accept the licence": its words must be ticked, each time anew."""

        def accept(ticked: Any, *values: Any) -> Updates:
            forms = self._forms(values)
            spec = self._chosen(panel, forms)
            terms = self.page.catalogue.terms.get(spec.id)
            try:
                self._check_manages()
                if terms is None:
                    raise InvalidRequest("licence", spec.id, "a model with a licence to accept")
                if ticked is not True:
                    raise InvalidRequest("licence", "no tick", "a tick at the sentence above, if it is true")
                self.page.services.accept_licence(terms["id"], terms["words"])
            except Exception as error:
                return self._told(panel, self._need(panel, spec.id), error)
            return self._everything(forms)

        return accept

    def on_download(self, panel: Panel) -> Callable[..., Updates]:
        """The handler of "Download"."""
        return lambda *values: self._act(panel, values, self.page.services.download)

    def on_stop(self, panel: Panel) -> Callable[..., Updates]:
        """The handler of a download's "Stop"; its end is shown by the next tick."""
        return lambda *values: self._act(panel, values, self.page.services.cancel_download)

    def _act(self, panel: Panel, values: tuple[Any, ...], do: Callable[[str], Any]) -> Updates:
        forms = self._forms(values)
        need = self._need(panel, **_choice(forms[self.page.panels.index(panel)]))
        try:
            self._check_manages()
            if need.target:
                do(need.target)
        except Exception as error:
            return self._told(panel, need, error)
        return self._everything(forms)

    def _forms(self, values: tuple[Any, ...]) -> list[Form]:
        rest = iter(values)
        return [{name: next(rest, None) for name in panel.costing} for panel in self.page.panels]

    def _chosen(self, panel: Panel, forms: list[Form]) -> Any:
        return self.page.catalogue.chosen(panel.mode, forms[self.page.panels.index(panel)]["model"])

    def _need(self, panel: Panel, model: Any, preset: Any = "quality") -> Need:
        spec, view_of = self.page.catalogue.chosen(panel.mode, model), self.page.services.download_of
        return need_of(spec, self.page.catalogue, view_of, manages=who().manages, preset=preset)

    def _live(self) -> bool:
        return any(not view.ended for view in self.page.services.downloads())

    def _awaited(self, target: str) -> bool:
        """Whether the catalogue does not yet know that it is here."""
        catalogue = self.page.catalogue
        lacking = {*catalogue.missing, *(target_of(one, "fast") for one in catalogue.slow)}
        return target in lacking or (target == catalogue.speech.get("id") and not catalogue.speech["available"])

    def _everything(self, forms: list[Form]) -> Updates:
        models = [form["model"] for form in forms]
        updates: Updates = {self.timer: gr.Timer(active=self._live()), **self.page.refresh(models)}
        for panel, form in zip(self.page.panels, forms):
            updates |= self._slot(panel, self._need(panel, **_choice(form)))
            updates[panel.gauge] = self._gauge(panel, form)
        return updates

    def _slot(self, panel: Panel, need: Need) -> Updates:
        one = panel.shelf
        words = gr.update(value=False, visible=bool(need.words), **({"label": need.words} if need.words else {}))
        return {
            one.area: gr.update(visible=bool(need.html)), one.card: f'<div class="needs">{need.html}</div>',
            one.words: words, one.accept: gr.update(visible=bool(need.words)),
            one.download: gr.update(visible=bool(need.download), value=need.download or "Download"),
            one.stop: gr.update(visible=need.running and who().manages),
        }

    def _told(self, panel: Panel, need: Need, error: Exception) -> Updates:
        if not isinstance(error, WanAppError):
            log.error("a licence or a download failed", exc_info=error)
        told = card.alert(*card.line_of(error))
        return {panel.shelf.card: f'<div class="needs">{need.html}{told}</div>'}

    def _check_manages(self) -> None:
        if not who().manages:
            raise InvalidRequest("model", "a visitor's wish", "the one who runs this server")


def _choice(form: Form) -> dict[str, Any]:
    """What decides what has to be here."""
    return {"model": form["model"], "preset": form.get("preset")}


def _scales(spec: ModelSpec, form: Form) -> dict[str, Any]:
    """Steps and guidance; what only some models have follows a change of the model a moment later."""
    if form.get("preset") == "fast" and spec.fast is not None:
        return {"preset": "fast"}
    scales = {name: form[name] for name in ("num_inference_steps", "guidance_scale")}
    until = form.get("guidance_until")
    return scales | ({"guidance_until": until} if until is not None and spec.guidance_can_end else {})
