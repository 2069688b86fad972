"""A result's settings, used again: what makes it quick, and what is told where something is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.ui.remembering import MINE, RememberingServices
from wan_app.families import registry
from wan_app.library.gallery import Kept
from wan_app.runtime.job import JobView
from wan_app.types import GenerationRequest, GenerationResult, Lora
from wan_app.ui import shelf, speed
from wan_app.ui.handlers import Page
from wan_app.ui.reuse import into_form

LARGE = GenerationRequest(
    mode="text", prompt="p", model="wan2.1-t2v-14b", width=832, height=480, seconds=5, preset="fast",
    num_inference_steps=4, guidance_scale=1.0, guidance_until=0.6, step_cache=0.05,
)


def used_again(page: Page, services: RememberingServices, *loras: Lora, **changes: Any) -> dict[Any, Any]:
    services.put(replace(LARGE, loras=loras, **changes), owner=MINE.owner, state="finished")
    return into_form(page, services.jobs_by_id["job-1"], ())


def test_settings_used_again_bring_what_makes_it_quick(page: Page, services: RememberingServices) -> None:
    panel, fields = page.panels[0], page.panels[0].fields
    updates = used_again(page, services, Lora(services.settings.loras_dir / "snow.safetensors", 0.5))
    found = {name: updates[fields[name]]["value"] for name in speed.USUAL}
    assert found == {"preset": "fast", "guidance_until": 0.6, "step_cache": 0.05, "loras": ["snow"], "lora_weight": 0.5}
    assert updates[panel.again] == ""
    # Fast has its own: these are for whoever goes back to quality.
    spec = registry.get(LARGE.model)
    assert updates[fields["num_inference_steps"]]["value"] == spec.num_inference_steps
    assert updates[fields["guidance_scale"]]["value"] == spec.guidance_scale
    slow = used_again(page, services, preset="quality", num_inference_steps=20, guidance_scale=3.0)
    assert slow[fields["num_inference_steps"]]["value"] == 20 and slow[fields["guidance_scale"]]["value"] == 3.0


def test_a_lora_that_is_gone_is_told_and_the_others_are_kept(page: Page, services: RememberingServices) -> None:
    panel, fields, folder = page.panels[0], page.panels[0].fields, services.settings.loras_dir
    snow, gone = Lora(folder / "snow.safetensors", 0.5), Lora(folder / "<gone>.safetensors", 0.5)
    updates = used_again(page, services, gone, snow)
    assert updates[fields["loras"]]["value"] == ["snow"] and updates[fields["lora_weight"]]["value"] == 0.5
    assert "The LoRA &lt;gone&gt; cannot be chosen here" in updates[panel.again]
    # One of the same name from elsewhere is another one; one that came with a zip is told by its name alone.
    updates = used_again(page, services, Lora(folder.parent / "snow.safetensors", 1.0))
    assert updates[fields["loras"]]["value"] == [] and "snow.safetensors cannot" in updates[panel.again]
    assert used_again(page, services, Lora(Path("snow.safetensors"), 1.0))[fields["loras"]]["value"] == ["snow"]
    (folder / "fog.safetensors").touch()
    both = used_again(page, services, snow, Lora(folder / "fog.safetensors", 1.0))
    assert both[fields["loras"]]["value"] == ["snow", "fog"] and "weights of their own (0.5, 1)" in both[panel.again]
    for file in folder.iterdir():
        file.unlink()
    updates = used_again(page, services, snow)
    assert not updates[fields["loras"]]["visible"] and "The LoRA snow cannot" in updates[panel.again]


def test_the_gallery_tells_what_made_it_quick() -> None:
    told = dict(shelf.facts(kept(replace(LARGE, loras=(Lora(Path("/x/snow.safetensors"), 0.5),)))))
    assert (told["Preset"], told["Guided share"], told["Steps skipped below"]) == ("Fast", "60%", "0.05")
    assert told["LoRAs"] == "snow (0.5)"
    plain = dict(shelf.facts(kept(GenerationRequest(mode="text", prompt="p"))))
    assert not {"Preset", "Guided share", "Steps skipped below", "LoRAs"} & plain.keys()


def kept(request: GenerationRequest) -> Kept:
    result = GenerationResult(
        file=Path("x.mp4"), model="pocket", mode="text", seed=1, width=8, height=8, num_frames=5, fps=8.0, seconds=0.6,
    )
    job = JobView(
        id="j", owner="me", state="finished", mode="text", model="pocket", created="2026-11-22T12:00:00.000Z",
        request=request, out=Path("x.mp4"), result=result,
    )
    return Kept(job=job, pinned=False, ours=True, bytes=0)
