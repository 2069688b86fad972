"""What the three making tabs share: prompt, shape, length, Advanced, the Generate bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from wan_app.families import registry
from wan_app.families.spec import MAX_SEED, ModelSpec
from wan_app.types import Mode
from wan_app.ui import speed
from wan_app.ui.parts import html, recording
from wan_app.ui.words import gigabytes, length_range, readout, say_hint, shape_choices

# What a reload brings back, where a tab has it. Pictures and recordings are left out: a browser's
# storage is no place for faces and voices, nor is an address under which the server would give them out
# again; people of the cast come back by their names in the prompt. That something was there is kept.
KEPT = (
    "prompt", "negative_prompt", "say", "model", "size", "seconds", "random_seed", "seed", "num_inference_steps",
    "guidance_scale", "soundtrack_mode", *speed.USUAL,
)
GIVEN = "given"
# Puts a name of the cast into the prompt above, and marks those that stand in it.
_CHIPS = (Path(__file__).resolve().parent / "chips.js").read_text(encoding="utf-8")
_UPLOADS = ("image", "last_image", "soundtrack")
_SOUNDTRACK_MODES = [("Automatic", "auto"), ("Mix both", "mix"), ("Soundtrack only", "replace")]


@dataclass(frozen=True)
class Catalogue:
    """The models as the page offers them; `missing` says in words what an absent one needs.

    `speech` is the row of the model that speaks for those without sound of their own; `terms` are
    licences that must be accepted first, by model id, accepted or not; `slow` are the models whose preset
    fast is not here, and what it needs (`families.listing`).
    """

    specs: dict[str, ModelSpec]
    missing: dict[str, str]
    speech: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    slow: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> Catalogue:
        """From what `Services.models` says just now."""
        return cls(
            registry.specs(), {row["id"]: row["reason"] for row in rows if not row["available"]},
            next((row["speech"] for row in rows if row.get("speech")), {}),
            {row["id"]: row["terms"] for row in rows if row.get("terms")},
            {row["id"]: row["fast"] for row in rows if row.get("fast") and not row["fast"]["available"]},
        )

    @property
    def titles(self) -> dict[str, str]:
        return {spec.id: spec.title for spec in self.specs.values()}

    def doing(self, mode: Mode) -> list[ModelSpec]:
        """Models for a tab: those at hand first, those with a licence to accept last."""
        able = [spec for spec in self.specs.values() if mode in spec.tasks]
        return sorted(able, key=lambda spec: (spec.id in self.missing, self.barred(spec)))

    def choices(self, mode: Mode) -> list[tuple[str, str]]:
        """(label, id) for the model list of a tab."""
        return [(self._label(spec), spec.id) for spec in self.doing(mode)]

    def chosen(self, mode: Mode, model: Any) -> ModelSpec:
        """The model of a tab by what its list says, the first one where that is nothing."""
        return (self.specs.get(model) if isinstance(model, str) else None) or self.doing(mode)[0]

    def barred(self, spec: ModelSpec) -> bool:
        """Whether its licence has to be accepted first."""
        return spec.id in self.terms and not self.terms[spec.id]["accepted_at"]

    def _label(self, spec: ModelSpec) -> str:
        if spec.id not in self.missing:
            return spec.title
        size = f"{gigabytes(spec.download_bytes)} download" if spec.download_bytes else "not on this computer"
        return f"{spec.title} ({'licence to accept, ' if self.barred(spec) else ''}{size})"

    def notice(self, spec: ModelSpec) -> str:
        """A line on what the model is, and who speaks for it."""
        speech = f" {_spoken_by(self.speech)}" if self.speech and not spec.native_audio else ""
        return f'<p class="about"><b>{escape(spec.title)}.</b> {escape(spec.about)}{escape(speech)}</p>'


def _spoken_by(speech: Mapping[str, Any]) -> str:
    return f"It makes no sound itself; words are spoken by {speech['title']}."


@dataclass(frozen=True)
class VoiceSlot:
    """What hears a character's voice before a video is made with it."""

    hear: Any
    cancel: Any
    card: Any


@dataclass(frozen=True)
class ModelSlot:
    """What the chosen model still needs before it runs: a licence accepted, weights fetched."""

    area: Any
    card: Any
    words: Any
    accept: Any
    download: Any
    stop: Any


@dataclass(kw_only=True)
class Panel:
    """The components of one tab. `fields` are its inputs by the name `build_request` knows."""

    mode: Mode
    fields: dict[str, Any] = field(default_factory=dict)
    readout: Any = None
    gauge: Any = None
    shelf: Any = None  # a ModelSlot
    notice: Any = None
    again: Any = None  # which files a reload has lost
    generate: Any = None
    cancel: Any = None
    examples: Any = None
    cast: Any = None  # names to put into the prompt
    slots: list[Any] = field(default_factory=list)
    heads: list[Any] = field(default_factory=list)
    voices: list[VoiceSlot] = field(default_factory=list)
    voice_areas: list[Any] = field(default_factory=list)
    add_slot: Any = None
    last_column: Any = None
    opened: Any = None  # how many character slots are open
    stating: Any = None  # what a tick at `consent` states

    @property
    def uploads(self) -> list[str]:
        """Names of the fields that hold pictures and sounds."""
        return [name for name in self.fields if name in _UPLOADS or name.startswith(("faces", "voice"))]

    @property
    def form(self) -> list[Any]:
        """All that depends on the model or is kept over a reload: no pictures, no sounds."""
        inputs = [one for name, one in self.fields.items() if name not in self.uploads and name != "consent"]
        extra = [one for one in (self.add_slot, self.opened, self.last_column) if one is not None]
        return [*inputs, self.readout, self.notice, self.again, *self.slots, *self.heads, *self.voice_areas, *extra]

    @property
    def costing(self) -> dict[str, Any]:
        """The inputs that decide what a video costs."""
        names = (
            "model", "size", "seconds", "num_inference_steps", "guidance_scale", "preset", "guidance_until",
        )
        return {name: one for name, one in self.fields.items() if name in names or name.startswith("faces")}

    @property
    def kept(self) -> dict[str, Any]:
        """The components whose value a reload brings back, in the order of KEPT."""
        return {name: self.fields[name] for name in KEPT if name in self.fields}


def prompt_box(panel: Panel, placeholder: str, hint: str) -> None:
    """The prompt."""
    panel.fields["prompt"] = gr.Textbox(
        label="Prompt", placeholder=placeholder, info=hint, lines=3, max_lines=8, elem_classes="prompt",
    )
    panel.cast = html("", elem_classes="cast-row", js_on_load=_CHIPS)


def say_box(panel: Panel, spec: ModelSpec) -> None:
    """What is spoken: in sight on the Reference tab, in Sound on the others."""
    panel.fields["say"] = gr.Textbox(
        label="Words to say", placeholder="Hello, how nice to see you.", info=say_hint(panel.mode, spec), lines=1,
        max_lines=4, elem_classes="say",
    )


def negative_box(panel: Panel) -> None:
    """The negative prompt: in sight on the Text tab, among Advanced on the others."""
    panel.fields["negative_prompt"] = gr.Textbox(
        label="Negative prompt (things to avoid)", placeholder="hat, glasses", lines=1,
    )


def settings(panel: Panel, catalogue: Catalogue) -> None:
    """Model, shape, length, what they come to, Sound and Advanced."""
    spec = catalogue.doing(panel.mode)[0]
    reach = length_range(spec)
    choices = shape_choices(spec)
    with gr.Group(elem_classes="shape-length"):
        panel.fields["model"] = gr.Dropdown(
            catalogue.choices(panel.mode), value=spec.id, label="Model", filterable=False, elem_classes="model",
        )
        panel.shelf = _shelf()
        panel.fields["size"] = gr.Radio(choices, value=choices[0][1], label="Shape", elem_classes="shapes")
        panel.fields["seconds"] = gr.Slider(
            reach.low, reach.high, value=reach.default, step=reach.step, label="Length (seconds)",
        )
        panel.readout = html(readout(spec, choices[0][1], reach.default), elem_classes="readout")
        panel.gauge = html("", elem_classes="gauge")
    with gr.Accordion("Sound", open=False, elem_classes="sound"):
        _sound(panel, spec)
    with gr.Accordion("Advanced", open=False, elem_classes="advanced"):
        _advanced(panel, spec)


def bar(panel: Panel, catalogue: Catalogue) -> None:
    """Generate and Cancel, on a phone at the bottom of the screen; below, what the model is."""
    panel.again = html("", elem_classes="notice")
    with gr.Row(elem_classes="bar-row"):
        panel.generate = gr.Button("Generate", variant="primary", size="lg", elem_classes="generate", scale=3)
        panel.cancel = gr.Button("Cancel", size="lg", elem_classes="cancel", visible=False, scale=1, min_width=90)
    panel.notice = html(catalogue.notice(catalogue.doing(panel.mode)[0]), elem_classes="notice")


def _shelf() -> ModelSlot:
    """Empty and out of sight while the model lacks nothing. No licence is ever ticked beforehand."""
    with gr.Column(visible=False, elem_classes="shelf") as area:
        card = html("")
        words = gr.Checkbox(False, label="I accept", visible=False, container=False, elem_classes="licence")
        with gr.Row(elem_classes="shelf-bar"):
            accept = gr.Button("Accept the licence", size="sm", elem_classes="quiet accept", scale=0, visible=False)
            download = gr.Button("Download", size="sm", elem_classes="quiet fetch", scale=0, visible=False)
            stop = gr.Button("Stop", size="sm", elem_classes="quiet fetch-stop", scale=0, visible=False)
    return ModelSlot(area, card, words, accept, download, stop)


def _sound(panel: Panel, spec: ModelSpec) -> None:
    if "say" not in panel.fields:
        say_box(panel, spec)
    html("<p><b>Soundtrack</b> music or any other sound, cut to the length of the clip</p>", elem_classes="field-head")
    panel.fields["soundtrack"] = recording("Soundtrack", ["upload"], "soundtrack")
    panel.fields["soundtrack_mode"] = gr.Radio(
        _SOUNDTRACK_MODES, value="auto", label="Soundtrack and speech",
        info="Automatic: alone in a silent clip, quietly under a clip that has sound.", elem_classes="soundtrack-mode",
    )


def _advanced(panel: Panel, spec: ModelSpec) -> None:
    if "negative_prompt" not in panel.fields:
        negative_box(panel)
    panel.fields["random_seed"] = gr.Checkbox(True, label="New seed each time")
    panel.fields["seed"] = gr.Number(
        0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED,
        info="The same seed and settings make the same video.",
    )
    panel.fields["num_inference_steps"] = gr.Slider(
        1, spec.max_inference_steps, value=spec.num_inference_steps, step=1, label="Inference steps",
        info="More is slower and finer.",
    )
    panel.fields["guidance_scale"] = gr.Slider(
        1, spec.max_guidance_scale, value=spec.guidance_scale, step=0.1, label="Guidance scale",
        info="How closely to follow the prompt.",
    )
    speed.fields(panel, spec)
