"""Our own HTML without Gradio's article styles, which would recolour errors and frame tables."""

from __future__ import annotations

from typing import Any

import gradio as gr


def html(value: str, **options: Any) -> gr.HTML:
    """A gr.HTML that looks as studio.css says."""
    return gr.HTML(value, apply_default_css=False, **options)
