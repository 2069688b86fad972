"""Among Advanced, for models that have it: the fast preset, guidance that ends early, skipped steps, LoRAs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from wan_app.errors import InvalidRequest
from wan_app.families.parts import lora_folder
from wan_app.families.parts.loras import MAX_LORAS
from wan_app.families.spec import MAX_STEP_CACHE, MIN_GUIDED_SHARE, ModelSpec
from wan_app.types import GenerationRequest, Lora

if TYPE_CHECKING:
    from wan_app.ui.panel import Panel

# Field -> its value where the model has nothing of the kind.
USUAL: dict[str, Any] = {
    "preset": "quality", "guidance_until": 1.0, "step_cache": 0.0, "loras": [], "lora_weight": 1.0,
}
_PRESETS = [("Quality", "quality"), ("Fast: 4 steps, the two above are not used", "fast")]


def fields(panel: Panel, spec: ModelSpec) -> None:
    """The inputs; out of sight for a model that does not know them."""
    shown = _known(spec)
    panel.fields["preset"] = gr.Radio(_PRESETS, value="quality", label="Preset", visible="preset" in shown)
    panel.fields["guidance_until"] = gr.Slider(
        MIN_GUIDED_SHARE, 1, value=1, step=0.05, label="Guided share of the steps", visible="guidance_until" in shown,
        info="Steps without guidance, the last ones, take half the time.",
    )
    panel.fields["step_cache"] = gr.Slider(
        0, MAX_STEP_CACHE, value=0, step=0.01, label="Skip steps that hardly differ", visible="step_cache" in shown,
        info="By so much they may differ; 0 skips none.",
    )
    panel.fields["loras"] = gr.Dropdown(
        [], value=[], multiselect=True, max_choices=MAX_LORAS, label="LoRAs", visible=False,
        info="Small weights over the model's own, from the studio's folder.",
    )
    panel.fields["lora_weight"] = gr.Slider(-2, 2, value=1, step=0.05, label="LoRA weight", visible=False)


def limits(panel: Panel, spec: ModelSpec, folder: Path) -> dict[Any, Any]:
    """Updates for a model: what it does not know goes back to its usual value, and out of sight.

    Args:
        folder: where the LoRAs lie.
    """
    loras = lora_folder.names(folder)
    shown = _known(spec) if loras else _known(spec) - {"loras", "lora_weight"}
    updates = {
        panel.fields[name]: gr.update(visible=name in shown, value=value)
        for name, value in USUAL.items() if name in panel.fields
    }
    if "loras" in panel.fields:
        choices = loras if "loras" in shown else []
        updates[panel.fields["loras"]] = gr.update(visible=bool(choices), choices=choices, value=[])
    return updates


def restored(panel: Panel, updates: dict[Any, Any], form: dict[str, Any]) -> str:
    """Put what a stored form says of these fields into the updates of `limits`, as far as its model knows them;
    it is taken out of the form. Returns a line on LoRAs that are not there any more, "" if all are."""
    wanted = form.pop("loras", None)
    for name in USUAL.keys() - {"loras"}:
        value, update = form.pop(name, None), updates.get(panel.fields.get(name), {})
        if update.get("visible") and _sensible(name, value, panel.fields[name]):
            update["value"] = value
    if "loras" not in panel.fields or not isinstance(wanted, list):
        return ""
    update = updates[panel.fields["loras"]]
    names = [one for one in wanted if isinstance(one, str)][:MAX_LORAS]
    update["value"] = [one for one in names if one in update["choices"]]
    return _gone([one for one in names if one not in update["choices"]])


def _gone(names: list[str]) -> str:
    if not names:
        return ""
    which, them = ("LoRA", "it") if len(names) == 1 else ("LoRAs", "them")
    return f"The {which} {', '.join(names)} cannot be chosen here; without {them} the video will be another one."


def _sensible(name: str, value: Any, part: Any) -> bool:
    if name == "preset":
        return value in ("quality", "fast")
    return isinstance(value, (int, float)) and part.minimum <= value <= part.maximum


def with_speed(request: GenerationRequest, values: Mapping[str, Any], folder: Path) -> GenerationRequest:
    """The request with what `values` say of these fields; absent ones keep their defaults.

    Args:
        folder: where the LoRAs lie.
    Raises:
        InvalidRequest: a LoRA that does not lie there, or a list of LoRAs that is none.
    """
    given = {name: USUAL[name] if values.get(name) is None else values[name] for name in USUAL}
    if not isinstance(given["loras"], (list, tuple)):
        raise InvalidRequest("lora", repr(given["loras"])[:60], "a list of names")
    loras = tuple(Lora(lora_folder.file_of(name, folder), given["lora_weight"]) for name in given["loras"])
    return replace(
        request, preset=given["preset"], guidance_until=given["guidance_until"], step_cache=given["step_cache"],
        loras=loras,
    )


def from_page(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The page's values: its sliders always have some, and those of steps and guidance are not for preset fast."""
    if values.get("preset") != "fast":
        return values
    return {**values, "num_inference_steps": None, "guidance_scale": None}


def _known(spec: ModelSpec) -> set[str]:
    has = {
        "preset": spec.fast is not None, "guidance_until": spec.guidance_can_end and spec.guidance_scale > 1,
        "step_cache": spec.takes_step_cache, "loras": spec.takes_loras, "lora_weight": spec.takes_loras,
    }
    return {name for name, known in has.items() if known}
