"""The About tab: what this is, which models there are, where things go, how to call it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from wan_app.families.spec import ModelSpec
from wan_app.settings import Settings
from wan_app.ui import consent
from wan_app.ui.consent import Statements
from wan_app.ui.panel import Catalogue
from wan_app.ui.parts import html
from wan_app.ui.words import gigabytes

_CODE = """from gradio_client import Client, handle_file

studio = Client("http://127.0.0.1:7860")
video, result = studio.predict(
    prompt="a boy with a blue hat waves in the forest", seconds=2, api_name="/text_to_video")
video, result = studio.predict(
    prompt="character1 talks in the snow", faces=[handle_file("face.png")], voice=handle_file("voice.wav"),
    say="Hello, it is cold here.", consent=True, api_name="/reference_to_video")"""


@dataclass(frozen=True)
class About:
    """The parts that change: the table of models at a page load, the people when the tab is opened."""

    tab: Any
    table: Any
    statements: Statements


def build(catalogue: Catalogue, settings: Settings) -> About:
    """The tab."""
    with gr.Tab("About", id="about", elem_id="tab-about") as tab:
        html(_intro(catalogue, settings), elem_classes="about-page")
        statements = consent.section()
        table = html(models(catalogue), elem_classes="about-page")
        html(_privacy(settings), elem_classes="about-page")
        with gr.Accordion("From Python", open=False):
            gr.Code(_CODE, language="python", interactive=False, show_label=False, container=False)
    return About(tab, table, statements)


def _intro(catalogue: Catalogue, settings: Settings) -> str:
    default = next(iter(catalogue.specs.values()))
    where, upload = (" on your own machine", " no upload to anyone,") if settings.local else ("", "")
    return (
        "<h2>What this is</h2>"
        f"<p>A studio that makes short videos{where}: from <b>words</b>, from a <b>first picture</b>, "
        f"or with <b>people</b> whose face and voice you give it. No account,{upload} no graphics card needed.</p>"
        f"<p>It starts with <b>{escape(default.title)}</b>. {escape(default.about)} "
        "A photograph works too: the result is a cartoon in the photograph's main colours. "
        "Larger open models can be chosen too: under <b>Model</b>, each says what it needs and whether it fits.</p>"
        "<p class='keys'><kbd>Ctrl</kbd> + <kbd>Enter</kbd> generates. Reload the page at any time: a running "
        "video carries on and the page finds it again.</p>"
    )


def models(catalogue: Catalogue) -> str:
    """The table of models."""
    rows = "".join(_row(catalogue, spec) for spec in catalogue.specs.values())
    return (
        "<h2>Models</h2><div class='scroll'><table><thead><tr><th>Model</th><th>Makes video from</th><th>Sound</th>"
        "<th>Licence</th><th>Memory, all of it on the card</th><th>On this computer</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class='small'>Memory is computed, not measured, for the model's usual "
        "length. With parts kept off the card it takes less: choose a model and look at the plan below the length, "
        "or ask for any card with <code>python -m wan_app fit</code>.</p>"
    )


def _row(catalogue: Catalogue, spec: ModelSpec) -> str:
    return (
        f"<tr><td><b>{escape(spec.title)}</b><br><code>{escape(spec.id)}</code></td>"
        f"<td>{escape(', '.join(spec.tasks))}</td><td>{_sound(spec)}</td><td>{escape(spec.licence)}</td>"
        f"<td class='memory'>{_memory(spec)}</td><td>{_here(catalogue, spec)}</td></tr>"
    )


def _memory(spec: ModelSpec) -> str:
    """What a figure is for belongs beside it."""
    if spec.bundled:
        return f"{gigabytes(min(spec.memory.values()))}, no card needed"
    words = {"none": "in full (bf16)", "int8": "in 8 bits", "nf4": "in 4 bits"}
    return "<br>".join(f"{gigabytes(count)} {words.get(name, escape(name))}" for name, count in spec.memory.items())


def _here(catalogue: Catalogue, spec: ModelSpec) -> str:
    terms = catalogue.terms.get(spec.id)
    day = str(terms["accepted_at"])[:10] if terms and terms["accepted_at"] else ""
    accepted = f"<br>licence accepted {escape(day)}" if day else ""
    if spec.id not in catalogue.missing:
        return "yes" + accepted
    state = "off until its licence is accepted" if catalogue.barred(spec) else "no"
    return f"{state}; {gigabytes(spec.download_bytes)} from {escape(spec.repository)}{accepted}"


def _sound(spec: ModelSpec) -> str:
    if not spec.native_audio:
        return "speech laid over"
    return "its own" + (", in a voice you give" if spec.max_voices else "")


def _privacy(settings: Settings) -> str:
    where = " on the server that runs this page"
    if settings.local:
        where = f" in <code>{escape(str(settings.data_dir))}</code>"
    return (
        f"<h2>Your pictures, recordings and videos</h2><p>They stay{where}. Pictures and recordings are stored "
        "without their metadata (place, camera, time); the browser keeps none of them. The page loads nothing from "
        "elsewhere and reports to nobody. The settings and the seed are written into each MP4, so that it can be "
        "made again.</p>"
        "<p>Show people and use their voices only with their consent, and say that a video is generated when you "
        "pass it on.</p>"
    )
