"""The Reference tab: faces and voices of people, called by name in the prompt, with their consent."""

from __future__ import annotations

import gradio as gr

from wan_app.consent.ledger import STATEMENT
from wan_app.families.spec import ModelSpec
from wan_app.ui import examples
from wan_app.ui.panel import Catalogue, Panel, VoiceSlot, bar, prompt_box, say_box, settings
from wan_app.ui.parts import html, raw, recording

_GOOD_RECORDING = (
    "<p>5 to 15 seconds of one person talking, close to the microphone, in a quiet room, without music.</p>"
)
# Appends the name where the cursor is, so that nobody has to spell it.
_INSERT = """(text) => {
  const box = document.querySelector('#tab-reference-panel .prompt textarea') || {};
  const at = box.selectionStart ?? text.length;
  const before = text.slice(0, at), after = text.slice(box.selectionEnd ?? at);
  const gap = before && !/\\s$/.test(before) ? ' ' : '';
  return before + gap + 'NAME' + (/^\\s/.test(after) ? '' : ' ') + after;
}"""


def build(catalogue: Catalogue) -> Panel:
    """The tab's components: one slot a character, as many as the most able model takes."""
    panel = Panel(mode="reference")
    able = catalogue.doing("reference")
    with gr.Tab("Reference", id="reference", elem_id="tab-reference"):
        with gr.Column(elem_id="tab-reference-panel"):
            inserts = [_slot(panel, number, able[0]) for number in
                       range(1, max(spec.max_characters for spec in able) + 1)]
            panel.opened = gr.State(1)
            panel.add_slot = gr.Button(
                "Add a character", size="sm", elem_classes="quiet", visible=able[0].max_characters > 1,
            )
            with gr.Group():
                panel.fields["consent"] = gr.Checkbox(False, label=STATEMENT, elem_classes="consent")
                panel.stating = html("", elem_classes="stating")
            prompt_box(panel, "character1 dances in the snow", "Call the person by the name above.")
            say_box(panel, able[0])
            for number, insert in enumerate(inserts, 1):
                insert.click(
                    None, panel.fields["prompt"], panel.fields["prompt"],
                    js=_INSERT.replace("NAME", f"character{number}"), api_visibility="private",
                )
            settings(panel, catalogue)
            bar(panel, catalogue)
            panel.examples = examples.row("reference")
    return panel


def slot_head(number: int, most: int) -> str:
    """The line over a face slot: the name for the prompt, and how many pictures."""
    many = "one face picture" if most == 1 else f"1 to {most} face pictures"
    return f"<p><b>character{number}</b> {many}</p>"


def _slot(panel: Panel, number: int, spec: ModelSpec) -> gr.Button:
    with gr.Group(visible=number == 1, elem_classes="character") as group:
        with gr.Row(elem_classes="character-head"):
            panel.heads.append(html(slot_head(number, spec.max_reference_images), elem_classes="character-name"))
            insert = gr.Button("Insert name", size="sm", elem_classes="quiet", scale=0, min_width=110)
        panel.fields[f"faces{number}"] = raw(gr.Gallery(
            label=f"Face pictures of character{number}", show_label=False, file_types=["image"], type="filepath",
            interactive=True, columns=4, fit_columns=False, height=150, object_fit="cover",
            sources=["upload", "webcam", "clipboard"], buttons=[], elem_classes="faces",
        ))
        with gr.Column(visible=number <= spec.voices, elem_classes="voice-area") as area:
            _voice(panel, number)
    panel.slots.append(group)
    panel.voice_areas.append(area)
    return insert


def _voice(panel: Panel, number: int) -> None:
    """A recording of the character's voice, and how it sounds from the model."""
    html(f"<p><b>Voice</b> optional</p>{_GOOD_RECORDING}", elem_classes="field-head")
    panel.fields[f"voice{number}"] = recording(
        f"Voice of character{number}", ["microphone", "upload"], "voice"
    )
    with gr.Row(elem_classes="voice-bar"):
        hear = gr.Button("Hear this voice", size="sm", elem_classes="quiet hear", scale=0, min_width=130)
        cancel = gr.Button("Stop", size="sm", elem_classes="quiet hear-stop", scale=0, min_width=70, visible=False)
    card = html("", elem_classes="heard-card")
    panel.voices.append(VoiceSlot(hear, cancel, card))
