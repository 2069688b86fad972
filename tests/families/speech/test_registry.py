"""Speech models: rows, what is said when they are missing or broken, faults while loading."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from wan_app.errors import InvalidRequest, ModelUnavailable, OutOfMemory
from wan_app.families.base import Plan
from wan_app.families.speech import registry, weights
from wan_app.settings import Settings

SPEC = registry.get()


def settings(weights_dir: Path | None) -> Settings:
    return Settings(data_dir=Path("/nowhere"), weights_dir=weights_dir)


def test_the_default_and_the_unknown() -> None:
    assert SPEC is registry.get("pocket-tts") and list(registry.specs()) == ["pocket-tts"]
    with pytest.raises(InvalidRequest, match="speech: got 'parrot'; needed one of pocket-tts"):
        registry.get("parrot")


def test_every_row_says_what_it_costs_and_under_which_licence() -> None:
    for spec in registry.specs().values():
        row = json.loads(json.dumps(spec.to_json()))
        assert row["licence"] and row["download_bytes"] > 1e6 and row["languages"] and len(row["repositories"]) > 0


def test_missing_weights_are_named_with_size_licence_and_ways(tiny_speech_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        weights.locate(SPEC, settings(None))
    said = str(caught.value)
    repositories = [part.repository for part in SPEC.parts]
    for words in (*repositories, "0.4 GB", "CC-BY-4.0", "WAN_APP_WEIGHTS_DIR", "wan_app download pocket-tts"):
        assert words in said
    assert registry.described(settings(None))["reason"] == said
    # One of two is not enough, and the other is the one that is named.
    shutil.copytree(tiny_speech_folder / SPEC.parts[0].repository, tmp_path / SPEC.parts[0].repository)
    with pytest.raises(ModelUnavailable, match=rf"\(no {SPEC.parts[1].repository}\)"):
        weights.locate(SPEC, settings(tmp_path))


def test_whole_weights_are_found(tiny_speech_folder: Path) -> None:
    folders = weights.locate(SPEC, settings(tiny_speech_folder))
    assert folders == tuple(tiny_speech_folder / part.repository for part in SPEC.parts)
    row = registry.described(settings(tiny_speech_folder))
    assert row["available"] is True and row["reason"] is None


@pytest.mark.parametrize("part, name, content, said", [
    (0, "tokenizer.json", None, "tokenizer.json is missing"),
    (0, "chat_template.jinja", None, "chat_template.jinja is missing"),
    (1, "model.safetensors", None, "has no .safetensors file"),
    (0, "model.safetensors", b"\x08", "is cut short"),
    (1, "config.json", b'{"model_type": "mimi"}', "holds a mimi; needed a pocket_tts_audio_tokenizer"),
    (1, "config.json", b"no json", "cannot be read"),
])
def test_broken_weights_name_the_file(
    tiny_speech_folder: Path, tmp_path: Path, part: int, name: str, content: bytes | None, said: str
) -> None:
    broken = Path(shutil.copytree(tiny_speech_folder, tmp_path / "broken")) / SPEC.parts[part].repository / name
    broken.unlink()
    if content is not None:
        broken.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=said) as caught:
        weights.locate(SPEC, settings(tmp_path / "broken"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault, answer", [(KeyError("x"), ModelUnavailable), (MemoryError(), OutOfMemory)])
def test_faults_while_loading_become_one_line(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, answer: type[Exception]
) -> None:
    def load(*_: object) -> None:
        raise fault

    monkeypatch.setattr("wan_app.families.speech.pocket_tts.load", load)
    with pytest.raises(answer, match="^pocket-tts"):
        registry.load(SPEC, Plan(), (Path("/a"), Path("/b")))


def test_a_tensor_that_is_not_there_is_named(tiny_speech_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_speech_folder, tmp_path / "less")
    file = tmp_path / "less" / SPEC.repository / "model.safetensors"
    tensors = load_file(file)
    del tensors["eos_head.weight"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ModelUnavailable, match="eos_head.weight"):
        registry.load(SPEC, Plan(), weights.locate(SPEC, settings(tmp_path / "less")))
