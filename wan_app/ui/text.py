"""The Text tab: words to video."""

from __future__ import annotations

import gradio as gr

from wan_app.ui import examples
from wan_app.ui.panel import Catalogue, Panel, bar, negative_box, prompt_box, settings


def build(catalogue: Catalogue) -> Panel:
    """The tab's components."""
    panel = Panel(mode="text")
    with gr.Tab("Text", id="text", elem_id="tab-text"):
        prompt_box(
            panel,
            "A girl with long red hair and a green shirt waves at the beach",
            "One shot: who, what they wear, what they do, where.",
        )
        negative_box(panel)
        settings(panel, catalogue)
        bar(panel, catalogue)
        panel.examples = examples.row("text")
    return panel
