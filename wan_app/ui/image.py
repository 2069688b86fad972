"""The Image tab: a first picture, perhaps a last one, and words on what happens."""

from __future__ import annotations

from typing import Any

import gradio as gr

from wan_app.ui import examples
from wan_app.ui.panel import Catalogue, Panel, bar, prompt_box, settings
from wan_app.ui.parts import raw


def build(catalogue: Catalogue) -> Panel:
    """The tab's components."""
    panel = Panel(mode="image")
    spec = catalogue.doing("image")[0]
    with gr.Tab("Image", id="image", elem_id="tab-image"):
        with gr.Row(equal_height=True, elem_classes="pictures"):
            with gr.Column(min_width=150):
                panel.fields["image"] = _picture("First picture", "The clip starts with it")
            with gr.Column(min_width=150, visible=spec.takes_last_image) as panel.last_column:
                panel.fields["last_image"] = _picture("Last picture", "Optional: the clip ends with it")
        prompt_box(panel, "She walks to the right and waves", "What happens next in the picture.")
        settings(panel, catalogue)
        bar(panel, catalogue)
        panel.examples = examples.row("image")
    return panel


def _picture(label: str, hint: str) -> Any:
    return raw(gr.Image(
        label=label, placeholder=hint, sources=["upload", "webcam", "clipboard"], type="filepath",
        height=210, min_width=150, buttons=[],
    ))
