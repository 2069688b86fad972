"""Where weights are looked for, and the one line that each broken folder gives."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.families.tiny_vace import tiny_spec
from wan_app.errors import ModelUnavailable
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.weights import locate as weights
from wan_app.settings import Settings

SPEC = tiny_spec()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", weights_dir=tmp_path / "models")


@pytest.fixture
def folder(tiny_vace_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_vace_folder, tmp_path / "copy"))


def test_without_weights_the_error_says_what_to_fetch_and_how_to_give_it(settings: Settings) -> None:
    spec = registry.get("wan2.1-vace-14b")
    with pytest.raises(ModelUnavailable) as caught:
        weights.locate(spec, settings)
    said = str(caught.value)
    command = f"python -m wan_app download {spec.id}"
    for word in (command, spec.repository, "46.6 GB", "--weights", "WAN_APP_WEIGHTS_DIR"):
        assert word in said
    assert caught.value.exit_code == 3


def test_hub_layout_under_the_weights_folder(settings: Settings, folder: Path) -> None:
    assert settings.weights_dir is not None
    home = settings.weights_dir / SPEC.repository
    home.parent.mkdir(parents=True)
    folder.rename(home)
    assert weights.locate(SPEC, settings) == home


def test_the_hub_cache_is_looked_at(
    settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    repository = cache / ("models--" + SPEC.repository.replace("/", "--"))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / "abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert weights.locate(SPEC, settings) == repository / "snapshots" / "abc"


def test_the_folder_given_goes_before_all_others(settings: Settings, folder: Path) -> None:
    assert weights.locate(SPEC, settings, folder) == folder


def test_other_names_for_the_same_component_files_are_whole_too(settings: Settings, folder: Path) -> None:
    """Shards with an index, as the large repositories have them."""
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_name("diffusion_pytorch_model-00001-of-00001.safetensors"))
    names = {"weight_map": {"any": "diffusion_pytorch_model-00001-of-00001.safetensors"}}
    (folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(names))
    assert weights.locate(SPEC, settings, folder) == folder


TRANSFORMER = Path("transformer/diffusion_pytorch_model.safetensors")


def cut(folder: Path, file: Path, size: int) -> None:
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[:size])


def append(folder: Path, data: bytes) -> None:
    with (folder / TRANSFORMER).open("ab") as file:
        file.write(data)


def only_a_pickle(folder: Path) -> None:
    (folder / TRANSFORMER).rename((folder / TRANSFORMER).with_suffix(".bin"))


def missing_shard(folder: Path) -> None:
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    names = {"a": TRANSFORMER.name, "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": names}))


def shards_of(folder: Path, weight_map: object) -> None:
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))


def with_header(folder: Path, header: bytes) -> None:
    (folder / TRANSFORMER).write_bytes(len(header).to_bytes(8, "little") + header)


def pickled(folder: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(2)}, folder / TRANSFORMER)


def another_pipeline(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "WanPipeline"}))


# What was done to the folder, and a word that the error must hold: the file, or what is wrong.
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "does not exist"),
    "no index": (lambda f: (f / "model_index.json").unlink(), "model_index.json is missing"),
    "index is not JSON": (lambda f: (f / "model_index.json").write_text("{"), "model_index.json"),
    "index is a list": (lambda f: (f / "model_index.json").write_text("[]"), "model_index.json"),
    "another pipeline": (another_pipeline, "WanPipeline"),
    "no transformer": (lambda f: shutil.rmtree(f / "transformer"), "transformer"),
    "no tokenizer": (lambda f: (f / "tokenizer/tokenizer.json").unlink(), "tokenizer"),
    "no scheduler": (lambda f: (f / "scheduler/scheduler_config.json").unlink(), "scheduler"),
    "no config": (lambda f: (f / "vae/config.json").unlink(), "vae/config.json"),
    "no weights": (lambda f: (f / TRANSFORMER).unlink(), "transformer"),
    "only a pickle": (only_a_pickle, "pickles are never opened"),
    "missing shard": (missing_shard, "00002-of-00002"),
    "zero bytes": (lambda f: cut(f, TRANSFORMER, 0), TRANSFORMER.name),
    "cut in the header": (lambda f: cut(f, TRANSFORMER, 400), TRANSFORMER.name),
    "cut in the tensors": (lambda f: cut(f, TRANSFORMER, 100_000), "cut short"),
    "more than its header says": (lambda f: append(f, b"more"), "by its header"),
    "a pickle by that name": (pickled, "pickles are never opened"),
    "an old pickle by that name": (lambda f: (f / TRANSFORMER).write_bytes(pickle.dumps([1])), "is a pickle"),
    "a header without end": (lambda f: with_header(f, b"[" * 50_000), "broken header"),
    "a header of lists": (lambda f: with_header(f, b"[[]]"), "broken header"),
    "offsets that are words": (lambda f: with_header(f, b'{"a": {"data_offsets": [0, "x"]}}'), "broken header"),
    "a folder for a file": (lambda f: ((f / TRANSFORMER).unlink(), (f / TRANSFORMER).mkdir()), "is missing"),
    "an index without end": (lambda f: (f / "model_index.json").write_text("[" * 50_000), "model_index.json"),
    "a component's config of another": (
        lambda f: change_config(f, "transformer", _class_name="WanTransformer3DModel"), "is that of a WanTr"),
    "shards that are a list": (lambda f: shards_of(f, ["a"]), "names no shards"),
    "shards that are lists": (lambda f: shards_of(f, {"a": ["b"]}), "names in its own folder"),
    "shards elsewhere": (lambda f: shards_of(f, {"a": "../../secret.safetensors"}), "names in its own folder"),
    "a shard that is a pickle": (lambda f: shards_of(f, {"a": "pytorch_model.bin"}), "names in its own folder"),
    "an LFS pointer": (lambda f: (f / TRANSFORMER).write_text("version https://git-lfs"), TRANSFORMER.name),
}


@pytest.mark.parametrize("breakage", BROKEN)
def test_a_broken_folder_gives_one_line(settings: Settings, folder: Path, breakage: str) -> None:
    harm, word = BROKEN[breakage]
    harm(folder)
    with pytest.raises(ModelUnavailable) as caught:
        weights.locate(SPEC, settings, folder)
    assert word in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody", "/dev/null", ""])
def test_a_name_that_is_no_folder_gives_one_short_line(settings: Settings, name: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        weights.locate(SPEC, settings, Path(name))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_folder_of_our_own_that_is_broken_says_how_to_mend_it(settings: Settings, folder: Path) -> None:
    assert settings.weights_dir is not None
    home = settings.weights_dir / SPEC.repository
    home.parent.mkdir(parents=True)
    missing_shard(folder.rename(home))
    with pytest.raises(ModelUnavailable, match=f"00002-of-00002.*python -m wan_app download {SPEC.id}"):
        weights.locate(SPEC, settings)


def test_a_file_for_a_folder_gives_one_line(settings: Settings, folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="is not a folder"):
        weights.locate(SPEC, settings, folder / "model_index.json")


def drop_tensor(folder: Path, file: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, folder / file, metadata={"format": "pt"})


def change_config(folder: Path, component: str, **changes: object) -> None:
    file = folder / component / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# Folders that look whole: only loading them shows the fault.
UNLOADABLE: dict[str, Callable[[Path], object]] = {
    "transformer lacks a tensor": lambda f: drop_tensor(f, TRANSFORMER),
    "text encoder lacks a tensor": lambda f: drop_tensor(f, Path("text_encoder/model.safetensors")),
    "autoencoder lacks a tensor": lambda f: drop_tensor(f, Path("vae") / TRANSFORMER.name),
    "another width": lambda f: change_config(f, "transformer", ffn_dim=64),
    "tokenizer is not JSON": lambda f: (f / "tokenizer/tokenizer.json").write_text("{"),
}


@pytest.mark.parametrize("breakage", UNLOADABLE)
def test_a_folder_that_does_not_load_gives_one_line(settings: Settings, folder: Path, breakage: str) -> None:
    UNLOADABLE[breakage](folder)
    located = weights.locate(SPEC, settings, folder)
    with pytest.raises(ModelUnavailable) as caught:
        registry.load(SPEC, Plan(), located)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    # Nor what libraries advise programmers to do about it.
    assert "ignore_mismatched_sizes" not in str(caught.value) and len(str(caught.value)) < 500
