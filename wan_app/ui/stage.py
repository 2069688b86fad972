"""The right-hand column: the card, and what can be done with a finished video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from wan_app.ui import card, examples, waiting
from wan_app.ui.parts import html


@dataclass(frozen=True)
class Stage:
    """Components of the stage."""

    card: Any
    actions: Any
    download: Any
    again: Any
    last_frame: Any
    details: Any
    facts: Any
    waiting: Any
    living: Any


def build() -> Stage:
    """One stage for all tabs; sticky on a wide screen, below the inputs on a phone."""
    with gr.Column(elem_id="stage", scale=6, min_width=320):
        shown = html(card.idle(examples=bool(examples.stored())), elem_id="card")
        with gr.Row(elem_classes="actions", visible=False) as actions:
            download = gr.Button(
                "Download", link="#", link_target="_self", size="md", min_width=120, scale=0, elem_id="download"
            )
            again = gr.Button("Same settings, new seed", size="md", min_width=160, elem_id="again")
            last_frame = gr.Button("Use last frame as first image", size="md", min_width=160, elem_id="last-frame")
        with gr.Accordion("Details", open=False, visible=False, elem_id="details") as details:
            facts = gr.JSON(show_label=False, container=False, open=True, max_height=360)
        queue, living = waiting.build()
    return Stage(shown, actions, download, again, last_frame, details, facts, queue, living)
