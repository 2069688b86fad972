"""Fast preset, guided share, skipped steps and LoRAs from the page and the API; LoRAs by name only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wan_app.errors import InvalidRequest
from wan_app.families import registry
from wan_app.families.parts import lora_folder
from wan_app.settings import Settings
from wan_app.types import GenerationRequest, Lora
from wan_app.ui import speed
from wan_app.ui.form import build_request

LARGE = registry.get("wan2.1-t2v-14b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("snow.safetensors", "film.safetensors", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "deep.safetensors").mkdir()
    return tmp_path


def asked(folder: Path, **values: Any) -> GenerationRequest:
    form = speed.from_page({"prompt": "p", "num_inference_steps": 30, "guidance_scale": 5.0, **values})
    return speed.with_speed(build_request("text", form), form, folder)


def test_names_are_the_files_of_the_folder(folder: Path) -> None:
    assert lora_folder.names(folder) == ["film", "snow"] and lora_folder.names(folder / "nowhere") == []
    request = asked(folder, loras=["snow", "film"], lora_weight=0.5)
    assert request.loras == (Lora(folder / "snow.safetensors", 0.5), Lora(folder / "film.safetensors", 0.5))


@pytest.mark.parametrize("name", ["../snow", "/etc/passwd", "snow.safetensors", "deep", "notes", "", 3, None, ["snow"]])
def test_no_other_file_can_be_named(folder: Path, name: Any) -> None:
    with pytest.raises(InvalidRequest, match="^lora: got .*; needed one of film, snow"):
        asked(folder, loras=[name])


@pytest.mark.parametrize("loras", ["snow", {"snow": 1}, 3])
def test_a_list_that_is_none_is_refused(folder: Path, loras: Any) -> None:
    with pytest.raises(InvalidRequest, match="^lora: got .*; needed a list of names"):
        asked(folder, loras=loras)


def test_absent_values_keep_the_defaults(folder: Path) -> None:
    plain = GenerationRequest(mode="text", prompt="p", num_inference_steps=30, guidance_scale=5.0)
    assert asked(folder) == asked(folder, **dict.fromkeys(speed.USUAL)) == asked(folder, **speed.USUAL) == plain


def test_fast_has_steps_and_guidance_of_its_own(folder: Path) -> None:
    resolved = LARGE.resolve(asked(folder, preset="fast", guidance_until=0.6))
    assert (resolved.num_inference_steps, resolved.guidance_scale, resolved.guidance_until) == (4, 1.0, 0.6)


@pytest.mark.parametrize(("model_id", "shown"), [
    ("pocket", set()), ("wan2.1-vace-1.3b", {"guidance_until", "step_cache", "loras", "lora_weight"}),
    ("wan2.1-t2v-14b", {"preset", "guidance_until", "step_cache", "loras", "lora_weight"}), ("ltx-2", set()),
])
def test_a_model_shows_what_it_knows_and_the_rest_is_as_usual(model_id: str, shown: set[str], folder: Path) -> None:
    import gradio as gr

    spec = registry.get(model_id)
    panel: Any = SimpleNamespace(fields={})
    with gr.Blocks():
        speed.fields(panel, spec)
    assert panel.fields.keys() == speed.USUAL.keys()
    for loras in (folder / "nowhere", folder):
        updates = {name: speed.limits(panel, spec, loras)[one] for name, one in panel.fields.items()}
        without = set() if loras == folder else {"loras", "lora_weight"}
        assert {name for name, one in updates.items() if one["visible"]} == shown - without
        assert all(one["value"] == speed.USUAL[name] for name, one in updates.items())


def test_the_folder_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAN_APP_LORAS_DIR", raising=False)
    settings = Settings(data_dir=tmp_path)
    assert settings.loras_dir == tmp_path / "loras"
    assert replace(settings, loras_folder=tmp_path / "x").loras_dir == tmp_path / "x"
    monkeypatch.setenv("WAN_APP_LORAS_DIR", "/models/loras")
    assert Settings.from_environment().loras_dir == Path("/models/loras")


def test_the_page_is_told_a_loras_name_and_a_file_names_no_folder(folder: Path) -> None:
    from wan_app.generate import metadata_of, request_from
    from wan_app.ui.delivery import public_request

    settings = Settings(data_dir=folder, loras_folder=folder)
    request = asked(folder, loras=["snow"])
    assert public_request(request)["loras"][0]["file"] == "snow.safetensors"
    stored = metadata_of(request, settings)
    assert str(folder) not in str(stored) and request_from(stored, settings) == request
    stored["request"]["loras"][0]["file"] = "../snow.safetensors"
    with pytest.raises(ValueError, match="not in the folder of LoRAs"):
        request_from(stored, settings)
