"""The Image tab: a first picture, perhaps a last one, and words on what happens."""

from __future__ import annotations

import gradio as gr

from wan_app.ui import examples
from wan_app.ui.panel import Catalogue, Panel, bar, prompt_box, settings


def build(catalogue: Catalogue) -> Panel:
    """The tab's components."""
    panel = Panel(mode="image")
    spec = catalogue.doing("image")[0]
    with gr.Tab("Image", id="image", elem_id="tab-image"):
        with gr.Row(equal_height=True, elem_classes="pictures"):
            panel.fields["image"] = _picture("First picture", "The clip starts with it", visible=True)
            panel.fields["last_image"] = _picture("Last picture", "Optional: the clip ends with it", visible=spec.takes_last_image)
        prompt_box(panel, "She walks to the right and waves", "What happens next in the picture.")
        settings(panel, catalogue)
        bar(panel, catalogue)
        panel.examples = examples.row("image")
    return panel


def _picture(label: str, hint: str, *, visible: bool) -> gr.Image:
    return gr.Image(
        label=label, placeholder=hint, sources=["upload", "webcam", "clipboard"], type="filepath", height=210, min_width=150,
        buttons=[], visible=visible,
    )
