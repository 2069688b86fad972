"""A finished video's settings, back in the form that can make it again."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_upload_folder

from wan_app.types import Character, GenerationRequest
from wan_app.ui.panel import Panel
from wan_app.ui.parts import line

if TYPE_CHECKING:
    from wan_app.runtime.job import JobView
    from wan_app.ui.handlers import Page, Updates

_SLOT = re.compile(r"character\d+")


def into_form(page: Page, job: JobView, cast: Container[str]) -> Updates:
    """Everything of a job's request in its tab, which comes to the front.

    Args:
        cast: names that need no pictures in the form, for the prompt alone brings them.
    """
    panel = next(panel for panel in page.panels if panel.mode == job.mode)
    people = [one for one in job.request.characters if one.name not in cast]
    request = _in_slots(job.request, people)
    seed = job.result.seed if job.result and job.request.seed is not None else None
    form = _form(request, seed, page.services.settings.loras_dir)
    updates = {panel.again: ""} | page.restore(panel, form) | {page.tabs: gr.Tabs(selected=panel.mode)}
    updates[panel.again] += line(_weights(request))
    fields = {"soundtrack_mode": request.soundtrack_mode, **_files(panel, request, people)}
    updates |= {panel.fields[name]: value for name, value in fields.items() if name in panel.fields}
    if panel.mode == "reference":
        updates |= _slots(panel, len(people))
    return updates


def lent(file: Path | None) -> str | None:
    """A copy of an input in Gradio's cache, from where the page may show it and send it back."""
    if file is None or not file.is_file():
        return None
    folder = Path(get_upload_folder()).resolve() / hashlib.sha256(file.name.encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{'picture' if file.suffix == '.png' else 'recording'}{file.suffix}"
    if not target.is_file():
        shutil.copyfile(file, target)
    return str(target)


def _in_slots(request: GenerationRequest, people: Sequence[Character]) -> GenerationRequest:
    """The words with the names of the form's slots for people who had other names."""
    prompt, say = request.prompt, request.say
    for number, one in enumerate(people, 1):
        if not _SLOT.fullmatch(one.name):
            name = rf"(?<!\w){re.escape(one.name)}(?!\w)"
            prompt, say = (re.sub(name, f"character{number}", text) for text in (prompt, say))
    return replace(request, prompt=prompt, say=say)


def _form(request: GenerationRequest, seed: int | None, loras: Path) -> dict[str, Any]:
    """As the browser keeps a form (`panel.KEPT`); no seed means a new one each time.

    Args:
        loras: where those lie that have a name in the form.
    """
    # Fast has steps and guidance of its own: the form's are for whoever goes back to quality.
    scales = ("num_inference_steps", "guidance_scale") if request.preset != "fast" else ()
    return {
        "prompt": request.prompt, "negative_prompt": request.negative_prompt, "say": request.say,
        "model": request.model, "size": f"{request.width}x{request.height}", "seconds": request.seconds,
        "random_seed": seed is None, "seed": seed or 0,
        "soundtrack_mode": request.soundtrack_mode, **{name: getattr(request, name) for name in scales},
        "preset": request.preset, "guidance_until": request.guidance_until, "step_cache": request.step_cache,
        "loras": [_named(one.file, loras) for one in request.loras],
        "lora_weight": request.loras[0].weight if request.loras else 1.0,
    }


def _named(lora: Path, folder: Path) -> str:
    """The name of a LoRA in the form; the whole name of one from elsewhere, by which none can be chosen."""
    # One that came with a zip has no folder.
    return lora.stem if lora.parent in (folder.absolute(), Path(".")) else lora.name


def _weights(request: GenerationRequest) -> str:
    """A line where the form's one weight is not that of each."""
    weights = [f"{one.weight:g}" for one in request.loras]
    if len(set(weights)) < 2:
        return ""
    return f"The LoRAs had weights of their own ({', '.join(weights)}); here all have the first one's."


def _files(panel: Panel, request: GenerationRequest, people: Sequence[Character]) -> dict[str, Any]:
    """Pictures and sounds for a panel's fields; what it had before goes."""
    found: dict[str, Any] = dict.fromkeys(panel.uploads)
    found |= {"image": lent(request.image), "last_image": lent(request.last_image),
              "soundtrack": lent(request.soundtrack)}
    for number, one in enumerate(people, 1):
        found[f"faces{number}"] = [path for path in map(lent, one.faces) if path] or None
        found[f"voice{number}"] = lent(one.voice)
    return found


def _slots(panel: Panel, people: int) -> Updates:
    opened = max(1, min(people, len(panel.slots)))
    updates: Updates = {slot: gr.update(visible=number <= opened) for number, slot in enumerate(panel.slots, 1)}
    return updates | {panel.opened: opened}
