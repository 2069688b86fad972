"""Where a model's weights are, and whether the folder is whole, read without loading anything."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Protocol

from wan_app import settings as app_settings
from wan_app.errors import ModelUnavailable
from wan_app.families.spec import ModelSpec
from wan_app.families.weights import licences, pins
from wan_app.settings import Settings

# Components that hold no tensors, by the end of their class name -> files of which one must be there.
_PLAIN_COMPONENTS = {
    "Tokenizer": ("tokenizer.json", "spiece.model", "vocab.json"),
    "TokenizerFast": ("tokenizer.json", "spiece.model", "vocab.json"),
    # What transformers 5 calls a tokenizer that is nothing but its tokenizer.json.
    "TokenizersBackend": ("tokenizer.json",),
    "Scheduler": ("scheduler_config.json",),
    "Processor": ("preprocessor_config.json", "processor_config.json"),
}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# How torch.save begins a file, today (a ZIP archive) and in its older ways (pickle protocols 2 to 5).
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_SHARD = re.compile(r"[^/\\:]+\.safetensors")
# A header longer than this is a corrupt length, not a model: the largest known is under 1 MB.
_MAX_HEADER = 100_000_000


class HasId(Protocol):
    """A row of a registry, of video or of speech models."""

    @property
    def id(self) -> str:
        """What the model is called."""


def locate(spec: ModelSpec, settings: Settings, override: Path | None = None) -> Path:
    """The folder with the model's weights, checked to be whole.

    Looks at `override`, then at the bundled assets or `settings.weights_dir`, then at the hub cache.

    Raises:
        ModelUnavailable: nothing found (names hub id, size and the ways to give it), or broken, or a
            licence that nobody accepted.
    """
    licences.check(spec, settings)
    folder = override or _installed(spec, settings)
    if folder is None:
        raise ModelUnavailable(_not_here(spec))
    try:
        check_folder(spec, folder)
    except ModelUnavailable as error:
        if override or spec.bundled:
            raise
        raise ModelUnavailable(f"{error}; python -m wan_app download {spec.id} fetches what is missing") from None
    return folder


def locate_file(repository: str, name: str, settings: Settings) -> Path | None:
    """One file of a repository on this machine, as `locate` looks for folders; None if it is not here."""
    if settings.weights_dir is not None and (settings.weights_dir / repository / name).is_file():
        return settings.weights_dir / repository / name
    return _in_cache(repository, name, "main", settings)


def check_folder(spec: ModelSpec, folder: Path) -> None:
    """Raise ModelUnavailable, naming the file, unless every component of the pipeline is there."""
    try:
        _check_folder(spec, folder)
    except (OSError, ValueError) as error:  # folders that may not be read, and names that are none
        said = getattr(error, "strerror", None) or str(error)
        raise ModelUnavailable(
            f"{spec.id}: weights folder {str(folder)[:200]!r} cannot be read ({said}); "
            f"needed: a copy of {spec.repository}"
        ) from error


def _check_folder(spec: ModelSpec, folder: Path) -> None:
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        needed = "a folder that training wrote (--bundle)" if spec.bundled else f"a copy of {spec.repository}"
        raise ModelUnavailable(f"{spec.id}: weights folder {folder} {state}; needed: {needed}")
    index = read_json(spec, folder / spec.index_file)
    check_pipeline(spec, index, folder)
    for name, value in index.items():
        if not name.startswith("_") and isinstance(value, list) and len(value) in (2, 3) and value[1]:
            _check_source(spec, folder, name, value)
            _check_component(spec, folder / name, str(value[1]))


def check_pipeline(spec: ModelSpec, index: dict[str, Any], where: Path | str) -> None:
    """Raise ModelUnavailable if the index of a folder or repository is that of another pipeline."""
    found = index.get("_class_name")
    if spec.pipeline_class and found != spec.pipeline_class:
        raise ModelUnavailable(
            f"{spec.id}: {where} holds a {found}; needed a {spec.pipeline_class} ({spec.repository})"
        )


def has_tensors(class_name: str) -> bool:
    """Whether a component of this class has weights: tokenizers, schedulers and processors have none."""
    return not class_name.endswith(tuple(_PLAIN_COMPONENTS))


def _installed(spec: ModelSpec, settings: Settings) -> Path | None:
    if spec.bundled:
        bundled = app_settings.ASSETS / spec.id
        return bundled if bundled.is_dir() else None
    if settings.weights_dir is not None:
        folder = settings.weights_dir / spec.repository
        if folder.is_dir():
            return folder
    index = _in_cache(spec.repository, spec.index_file, spec.revision, settings)
    return index.parent if index else None


def _in_cache(repository: str, name: str, revision: str, settings: Settings) -> Path | None:
    """A file in the hub's cache: at the commit that is kept to, else at what another program fetched."""
    # The hub library knows its own cache (HF_HOME and the rest); it asks no network here.
    from huggingface_hub import try_to_load_from_cache

    for commit in (pins.pinned(pins.name_of(repository, revision), settings), revision):
        found = try_to_load_from_cache(repository, name, revision=commit) if commit else None
        if isinstance(found, str):
            return Path(found)
    return None


def _not_here(spec: ModelSpec) -> str:
    if spec.bundled:
        folder = app_settings.ASSETS / spec.id
        return (
            f"{spec.id}: its bundled weights are missing from {folder}; `make train`, then "
            f'`make train ARGS="--bundle {folder}"`, makes them'
        )
    size = f"{spec.download_bytes / 1e9:.1f} GB"
    return (
        f"{spec.id}: weights are not on this machine; needed: {spec.repository} ({size} to download), "
        f"fetched with: python -m wan_app download {spec.id}; or given with --weights DIR, or under "
        f"WAN_APP_WEIGHTS_DIR/{spec.repository}, or in the hub cache"
    )


def _check_source(spec: ModelSpec, folder: Path, name: str, value: list[Any]) -> None:
    """A modular index may say that a component lives in another repository: then it must be copied here."""
    loading = value[2] if len(value) == 3 and isinstance(value[2], dict) else {}
    source = loading.get("pretrained_model_name_or_path")
    if source and not (folder / name).is_dir():
        raise ModelUnavailable(f"{spec.id}: component {folder / name} is missing; it comes from {source}")


def _check_component(spec: ModelSpec, folder: Path, class_name: str) -> None:
    if not folder.is_dir():
        raise ModelUnavailable(f"{spec.id}: component {folder} is missing")
    for ending, names in _PLAIN_COMPONENTS.items():
        if class_name.endswith(ending):
            if not any((folder / name).is_file() for name in names):
                raise ModelUnavailable(f"{spec.id}: {folder} has none of {', '.join(names)}")
            return
    found = read_json(spec, folder / "config.json").get("_class_name")
    if found and found != class_name:
        raise ModelUnavailable(f"{spec.id}: {folder / 'config.json'} is that of a {found}; needed a {class_name}")
    check_tensors(spec, folder)


def check_tensors(spec: HasId, folder: Path) -> None:
    """One safetensors file, or all the shards that the index names, each of its full length."""
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if indexes:
        shards = read_json(spec, indexes[0]).get("weight_map")
        names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
        if not names:
            raise ModelUnavailable(f"{spec.id}: {indexes[0]} names no shards")
        if stray := [name for name in names if not _SHARD.fullmatch(name)]:
            raise ModelUnavailable(f"{spec.id}: {indexes[0]} names {stray[0][:80]!r}; needed names in its own folder")
        files = [folder / name for name in names]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES)
        why = f" (only {pickles[0]}: pickles are never opened)" if pickles else ""
        raise ModelUnavailable(f"{spec.id}: {folder} has no .safetensors file{why}")
    for file in files:
        problem = problem_with_tensors(file)
        if problem:
            raise ModelUnavailable(f"{spec.id}: {file} {problem}; fetch it again")


def problem_with_tensors(file: Path) -> str | None:
    """What is wrong with a safetensors file, judged by its header and its length; None if nothing."""
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        if start.startswith(_PICKLE_STARTS):
            return "is a pickle by another name, and pickles are never opened"
        length = int.from_bytes(start, "little")
        if size < 8 or not 2 <= length <= min(size - 8, _MAX_HEADER):
            return f"is cut short or not safetensors ({size} bytes)"
        try:
            header = json.loads(stream.read(length))
            ends = [row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"]
            needed = 8 + length + max(ends, default=0)
        except (ValueError, AttributeError, KeyError, IndexError, TypeError, RecursionError):
            return "has a broken header"
    if size > needed:
        return f"is not safetensors to its end: {size} bytes, {needed} by its header"
    return f"is cut short: {size} bytes of {needed}" if size < needed else None


def read_json(spec: HasId, file: Path) -> dict[str, Any]:
    """The JSON object in a file of the model `spec`; ModelUnavailable, naming the file, if there is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelUnavailable(f"{spec.id}: {file} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{spec.id}: {file} cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise ModelUnavailable(f"{spec.id}: {file} is not a JSON object")
    return data
