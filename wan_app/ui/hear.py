"""Hear this voice: a short job of sound alone, beside the stage, played in the slot of its character.

It goes through the same queue as any video. The browser remembers it (`heard`: {"job", "slot"}), so that
a reload finds a test which still runs and can stop it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.families import registry
from wan_app.families.spec import MAX_SAY_CHARACTERS
from wan_app.families.speech.lines import spoken_lines
from wan_app.types import Character, GenerationRequest
from wan_app.ui import card
from wan_app.ui.files import file_url
from wan_app.ui.form import person
from wan_app.ui.panel import Panel
from wan_app.ui.report import report
from wan_app.ui.session import job_of, who

if TYPE_CHECKING:
    from wan_app.runtime.job import JobView
    from wan_app.services import Services

SECONDS = 5.0
# Spoken when the box of words is empty.
WORDS = "Hello. This is how I will sound in the video."
log = logging.getLogger(__name__)
Updates = dict[Any, Any]


@dataclass(kw_only=True)
class Hearing:
    """The voice tests of the Reference tab; its methods are the event handlers."""

    services: Services
    panel: Panel
    heard: Any
    timer: Any

    def inputs(self, slot: int) -> list[Any]:
        """What a test needs of the form."""
        fields = self.panel.fields
        return [fields[f"voice{slot}"], fields["say"], fields["model"], fields["consent"]]

    def outputs(self) -> list[Any]:
        """What a test may change."""
        slots = [part for one in self.panel.voices for part in (one.hear, one.cancel, one.card)]
        return [self.heard, self.timer, *slots]

    def on_hear(self, slot: int) -> Callable[..., Updates]:
        """The handler of a slot's "Hear this voice"."""

        def hear(voice: Any, say: Any, model: Any, consent: Any) -> Updates:
            try:
                owner = who().owner
                said = words_of(slot, say, len(self.panel.voices))
                request = voice_test(f"character{slot}", voice, say=said, model=model, consent=consent)
                job = self.services.job(self.services.submit(request, owner=owner), owner=owner)
            except Exception as error:
                return self._show(slot, _failed(error), live=False)
            return self._show(slot, running(job), live=True) | {self.heard: {"job": job.id, "slot": slot}}

        return hear

    def on_tick(self, heard: Any) -> Updates:
        """At each look while a test lives."""
        slot = self._slot(heard)
        try:
            job = self._job(heard)
        except JobNotFound as error:
            return self._show(slot, _failed(error), live=False)
        except Exception as error:
            # The test goes on although it could not be looked at: so does the clock.
            return {self.panel.voices[slot - 1].card: _failed(error)}
        if not job.ended:
            return {self.panel.voices[slot - 1].card: running(job)}
        return self._show(slot, ended(job), live=False)

    def on_cancel(self, heard: Any) -> Updates:
        """Stop the test; its end is shown by the next tick."""
        try:
            self.services.cancel(job_of(heard), owner=who().owner)
        except Exception as error:
            return self._show(self._slot(heard), _failed(error), live=False)
        return self.on_tick(heard)

    def on_load(self, heard: Any) -> Updates:
        """A page opens again: a test that still runs is shown, one that has ended belongs to the past."""
        try:
            job = self._job(heard)
        except WanAppError:
            return {self.heard: None}
        return {self.heard: None} if job.ended else self._show(self._slot(heard), running(job), live=True)

    def _job(self, heard: Any) -> JobView:
        return self.services.job(job_of(heard), owner=who().owner)

    def _slot(self, heard: Any) -> int:
        slot = heard.get("slot") if isinstance(heard, dict) else None
        return slot if isinstance(slot, int) and 1 <= slot <= len(self.panel.voices) else 1

    def _show(self, slot: int, html: str, *, live: bool) -> Updates:
        updates: Updates = {self.timer: gr.Timer(active=live)}
        for number, one in enumerate(self.panel.voices, 1):
            updates[one.hear] = gr.update(interactive=not live)
            updates[one.cancel] = gr.update(visible=live and number == slot)
        return updates | {self.panel.voices[slot - 1].card: html}


def voice_test(name: str, voice: Any, *, say: Any, model: Any, consent: Any) -> GenerationRequest:
    """A few seconds of one voice, whatever else the form says. Raises InvalidRequest."""
    if not voice:
        raise InvalidRequest("voice", "nothing", "a recording of the voice, or a sound file")
    return GenerationRequest(
        mode="reference", prompt=f"{name} talks", say=say, sound_only=True, model=model,
        num_frames=registry.get(model).frames_for(SECONDS), characters=(person(name, None, voice),),
        consent=consent is True,
    )


def words_of(slot: int, say: Any, slots: int) -> Any:
    """What is heard of the character of `slot`: its own lines, or those without a name, or WORDS.

    What is no text, or too long a one, is left as it is, for `Services.submit` to tell.
    """
    if not say or not isinstance(say, str) or len(say) > MAX_SAY_CHARACTERS:
        return say or WORDS
    name, names = f"character{slot}", [f"character{number}" for number in range(1, slots + 1)]
    # In a video words without a name are the first one's. A test speaks them where there are none of its own.
    for order in (names, sorted(names, key=lambda one: one != name)):
        cast = tuple(Character(name=one) for one in order)
        lines = spoken_lines(GenerationRequest(mode="reference", prompt="", say=say, characters=cast))
        if own := " ".join(line.text for line in lines if line.character == name):
            return own
    return WORDS


def running(job: JobView) -> str:
    """A test that waits or works."""
    return f'<div class="heard" data-state="running">{card.progress_lines(job.event, "Speaking")}</div>'


def ended(job: JobView) -> str:
    """The sound of a test with what is known of it, or why there is none."""
    if job.state == "cancelled":
        return '<div class="heard" data-state="cancelled"><span role="status">Stopped</span></div>'
    if job.result is None:
        return _alert(job.error or "It failed without saying why.", job.error_kind or "")
    if not job.result.file.is_file():
        return _alert("The file of this sound cannot be read: it is gone")
    label = f"The voice of {job.request.characters[0].name}, as the model makes it"
    return (
        f'<div class="heard" data-state="finished"><audio src="{escape(file_url(job))}" aria-label="{escape(label)}" '
        f'controls autoplay></audio>{report(job.result.similarity, job.result.notes)}</div>'
    )


def _failed(error: Exception) -> str:
    if not isinstance(error, WanAppError):
        log.error("a voice test failed", exc_info=error)
    return _alert(*card.line_of(error))


def _alert(error: str, kind: str = "WanAppError") -> str:
    return f'<div class="heard" data-state="failed">{card.alert(error, kind)}</div>'

