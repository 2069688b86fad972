"""Gradio's components, as this page needs them."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr


def html(value: str, **options: Any) -> gr.HTML:
    """A gr.HTML without the article styles, which would recolour errors and frame tables."""
    return gr.HTML(value, apply_default_css=False, **options)


def line(told: str) -> str:
    """A sentence that a screen reader tells as it appears; nothing for nothing."""
    return f'<p role="status">{escape(told)}</p>' if told else ""


def raw(component: Any) -> Any:
    """The component handing over what was posted as it is, for `form.uploaded` to judge.

    Gradio would answer anything not shaped like its own upload with a bare error 500. It is done on
    the instance, for Gradio writes a .pyi beside the source of every subclass; so the component must
    get no `gr.update`, which makes a new instance. A new value is no update.
    """
    component.data_model = None
    component.api_info = lambda: {"type": "object"}
    return component


def recording(label: str, sources: list[str], css_class: str) -> Any:
    """A field for a sound with its waveform; `sources` of "microphone" and "upload", the first in front."""
    return raw(gr.Audio(
        label=label, show_label=False, sources=sources, type="filepath", buttons=[],
        elem_classes=["recording", css_class],
        waveform_options=gr.WaveformOptions(
            waveform_color="#a09d94", waveform_progress_color="#1f9e8c", trim_region_color="#1f9e8c",
        ),
    ))
