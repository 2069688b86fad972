"""The Cast tab: people by name, with faces, a voice and their consent, for any prompt."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from wan_app.consent.ledger import STATEMENT
from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.families import registry
from wan_app.library.cast import MAX_FACES, Member
from wan_app.types import Character, GenerationRequest
from wan_app.ui import card, castlist, hear
from wan_app.ui.consent import UNTICK
from wan_app.ui.form import pictures, uploaded
from wan_app.ui.handlers import Page, Updates
from wan_app.ui.parts import html, raw, recording
from wan_app.ui.reuse import lent
from wan_app.ui.session import job_of, who

if TYPE_CHECKING:
    from wan_app.library.library import Library

_ON_LOAD = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  trigger('click', {act: button.dataset.act, id: button.dataset.id});
  if (button.dataset.act === 'edit' && window.innerWidth <= 820)
    setTimeout(() => document.getElementById('cast-form')?.scrollIntoView({block: 'start'}), 250);
});
"""
log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class CastTab:
    """Components of the tab; its methods are the event handlers.

    `editing` is the id of whom the form is about, "" for somebody new.
    """

    page: Page = field(init=False)  # `wire` sets it: the tabs are built before the page
    tab: Any = None
    people: Any = None
    heading: Any = None
    name: Any = None
    faces: Any = None
    voice: Any = None
    consent: Any = None
    save: Any = None
    fresh: Any = None
    told: Any = None
    heard_card: Any = None
    stop: Any = None
    editing: Any = None
    heard: Any = None
    timer: Any = None

    # --- what an event may change -------------------------------------------------------------

    @property
    def form(self) -> list[Any]:
        return [self.heading, self.name, self.faces, self.voice, self.consent, self.editing, self.save, self.fresh]

    def chip_outputs(self) -> list[Any]:
        return [panel.cast for panel in self.page.panels]

    def list_outputs(self) -> list[Any]:
        return [self.people, self.told, *self.chip_outputs()]

    def heard_outputs(self) -> list[Any]:
        return [self.heard, self.heard_card, self.stop, self.timer]

    def act_outputs(self) -> list[Any]:
        return [*self.list_outputs(), *self.form, *self.heard_outputs(), self.page.tabs, self._prompt()]

    # --- people -------------------------------------------------------------------------------

    def on_look(self) -> Updates:
        """The tab is opened."""
        return self._listed() | {self.told: ""}

    def on_load(self) -> Updates:
        """The page opens: names for the prompts."""
        return self._chips(self._members())

    def on_act(self, event: gr.EventData, prompt: Any) -> Updates:
        """Something was pressed on somebody's card."""
        act, member_id = castlist.asked(event._data)
        try:
            one = self._library.people.get(member_id, who().owner)
            if act == "use":
                text = prompt if isinstance(prompt, str) else ""
                named = f"{text} {one.name}".strip() if one.name not in text else text
                return {self.page.tabs: gr.Tabs(selected="reference"), self._prompt(): named, self.told: ""}
            if act == "edit":
                return self._filled(one) | {self.told: ""}
            if act == "hear":
                return self._hear(one)
            if act == "remove":
                self._library.dismiss(one.id, who().owner)
                return self._listed() | self._emptied() | {self.told: _said(f"{one.name} is gone.")}
        except Exception as error:
            return {self.told: _alert(error)}
        return {self.told: gr.skip()}

    def on_save(self, name: Any, faces: Any, voice: Any, consent: Any, editing: Any) -> Updates:
        """Somebody new, or somebody changed."""
        try:
            given: dict[str, Any] = {
                "faces": pictures(faces or [], "face"), "voice": uploaded(voice or None, "voice"),
                "consent": consent is True,
            }
            if editing:
                one = self._library.change(
                    editing, name=name, without_voice=not voice, owner=who().owner, **given
                )
            else:
                one = self._library.add(name, owner=who().owner, **given)
        except Exception as error:
            return {self.told: _alert(error)}
        hint = f"{one.name} is in your cast. Write the name in any prompt: {one.name} waves at the beach."
        return self._listed() | self._emptied() | {self.told: _said(hint)}

    def on_fresh(self) -> Updates:
        """The form for somebody new."""
        return self._emptied() | {self.told: ""}

    # --- voices -------------------------------------------------------------------------------

    def on_tick(self, heard: Any) -> Updates:
        """At each look while a voice is being made."""
        try:
            job = self.page.services.job(job_of(heard), owner=who().owner)
        except JobNotFound:
            return {self.timer: gr.Timer(active=False), self.heard_card: "", self.stop: gr.update(visible=False)}
        except Exception as error:
            return {self.heard_card: _alert(error)}
        if not job.ended:
            return {self.heard_card: hear.running(job)}
        return {
            self.heard_card: hear.ended(job), self.timer: gr.Timer(active=False), self.stop: gr.update(visible=False),
        }

    def on_stop(self, heard: Any) -> Updates:
        """Stop it; its end is shown by the next look."""
        try:
            self.page.services.cancel(job_of(heard), owner=who().owner)
        except Exception as error:
            return {self.heard_card: _alert(error)}
        return self.on_tick(heard)

    def _hear(self, one: Member) -> Updates:
        if one.voice is None:
            raise InvalidRequest("voice", "nothing", "a recording of the voice")
        request = GenerationRequest(
            mode="reference", prompt=f"{one.name} talks", say=hear.WORDS, sound_only=True,
            num_frames=registry.get(None).frames_for(hear.SECONDS), consent=True,
            characters=(Character(name=one.name, voice=one.voice),),
        )
        services, owner = self.page.services, who().owner
        job = services.job(services.submit(request, owner=owner), owner=owner)
        return {
            self.heard: {"job": job.id}, self.heard_card: hear.running(job), self.stop: gr.update(visible=True),
            self.timer: gr.Timer(active=True), self.told: "",
        }

    # --- pieces -------------------------------------------------------------------------------

    @property
    def _library(self) -> Library:
        return self.page.services.library

    def _prompt(self) -> Any:
        return next(panel for panel in self.page.panels if panel.mode == "reference").fields["prompt"]

    def _members(self) -> list[Member]:
        try:
            return self._library.cast(who().owner)
        except WanAppError:
            return []

    def _chips(self, members: list[Member]) -> Updates:
        return dict.fromkeys(self.chip_outputs(), castlist.chips(members))

    def _listed(self) -> Updates:
        try:
            members = self._library.cast(who().owner)
        except Exception as error:
            return {self.people: _alert(error)}
        return {self.people: castlist.cards(members)} | self._chips(members)

    def _emptied(self) -> Updates:
        return {
            self.heading: castlist.heading(None), self.name: "", self.faces: None, self.voice: None,
            self.consent: False, self.editing: "", self.save: gr.update(value="Add to the cast"),
            self.fresh: gr.update(visible=False),
        }

    def _filled(self, one: Member) -> Updates:
        return {
            self.heading: castlist.heading(one), self.name: one.name,
            self.faces: [path for path in map(lent, one.faces) if path] or None, self.voice: lent(one.voice),
            self.consent: False, self.editing: one.id, self.save: gr.update(value="Save"),
            self.fresh: gr.update(visible=True),
        }


def build() -> CastTab:
    """The tab's components, within the tabs of the page."""
    one = CastTab()
    with gr.Tab("Cast", id="cast", elem_id="tab-cast") as one.tab:
        one.told = html("", elem_id="cast-told")
        with gr.Row(elem_id="cast"):
            with gr.Column(scale=7, min_width=300):
                with gr.Row(elem_classes="voice-bar"):
                    one.heard_card = html("", elem_classes="heard-card")
                    one.stop = gr.Button(
                        "Stop", size="sm", elem_classes="quiet hear-stop", scale=0, min_width=70, visible=False
                    )
                one.people = html("", js_on_load=_ON_LOAD, elem_id="cast-list")
            with gr.Column(scale=5, min_width=300, elem_id="cast-form"):
                _form(one)
    return one


def wire(one: CastTab, page: Page, demo: gr.Blocks, *, secret: str, quiet: dict[str, Any]) -> None:
    """The events of the tab.

    Args:
        secret: of what the browser keeps; quiet: options of every event.
    """
    one.page = page
    one.heard = gr.BrowserState(None, storage_key="wan-app-cast-heard", secret=secret)
    one.timer = gr.Timer(0.5, active=False)
    one.tab.select(one.on_look, None, one.list_outputs(), **quiet)
    demo.load(one.on_load, None, one.chip_outputs(), **quiet)
    one.people.click(one.on_act, one._prompt(), one.act_outputs(), **quiet)
    given = [one.name, one.faces, one.voice, one.consent, one.editing]
    one.save.click(one.on_save, given, [*one.list_outputs(), *one.form], preprocess=False, **quiet)
    one.fresh.click(one.on_fresh, None, [*one.form, one.told], **quiet)
    gr.on([one.faces.change, one.voice.change], None, None, one.consent, js=UNTICK, api_visibility="private")
    one.timer.tick(one.on_tick, one.heard, one.heard_outputs(), trigger_mode="once", **quiet)
    one.stop.click(one.on_stop, one.heard, one.heard_outputs(), **quiet)


def _form(one: CastTab) -> None:
    one.heading = html(castlist.heading(None))
    one.editing = gr.Textbox("", visible="hidden", show_label=False)
    with gr.Group(elem_classes="character"):
        one.name = gr.Textbox(
            label="Name", placeholder="Mia", max_lines=1,
            info="One word. In a prompt, written like this, it brings them in.",
        )
        html(
            f"<div class='padded'><p><b>Face pictures</b> up to {MAX_FACES}, one person on each</p></div>",
            elem_classes="field-head",
        )
        one.faces = raw(gr.Gallery(
            label="Face pictures", show_label=False, file_types=["image"], type="filepath", interactive=True, columns=4,
            fit_columns=False, height=150, object_fit="cover", sources=["upload", "webcam", "clipboard"], buttons=[],
            elem_classes="faces",
        ))
        with gr.Column(elem_classes="voice-area"):
            html(
                "<p><b>Voice</b> optional: 5 to 15 seconds of one person talking, close to the microphone, without "
                "music</p>", elem_classes="field-head",
            )
            one.voice = recording("Voice", ["microphone", "upload"], "voice")
    with gr.Group():
        one.consent = gr.Checkbox(False, label=STATEMENT, elem_classes="consent")
    with gr.Row(elem_classes="cast-bar"):
        one.save = gr.Button("Add to the cast", variant="primary", scale=3)
        one.fresh = gr.Button("Not now", scale=1, min_width=90, visible=False)


def _said(words: str) -> str:
    return f'<div class="told" role="status"><p>{escape(words)}</p></div>'


def _alert(error: Exception) -> str:
    if not isinstance(error, WanAppError):
        log.error("the cast failed", exc_info=error)
    return f'<div class="told needs">{card.alert(*card.line_of(error))}</div>'

