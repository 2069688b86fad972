"""Which files of a repository a model needs: a repository may hold the same weights five times over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

# Configs, tokenizers and chat templates; pickles, pictures and other frameworks' weights stay there.
_PLAIN = (".json", ".txt", ".model", ".jinja")
_INDEX = ".safetensors.index.json"
# How each library names the weights that it writes; a folder may hold both.
_STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}


class Component(NamedTuple):
    """An entry of a pipeline's index. `source` is (repository, revision, folder) where it is not of this one."""

    name: str
    library: str
    class_name: str
    source: tuple[str, str, str] | None


def components(index: dict[str, Any], repository: str) -> Iterator[Component]:
    """What the index of a pipeline names; a component may be null, and may lie in another repository."""
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list) or len(value) not in (2, 3) or not value[1]:
            continue
        loading = value[2] if len(value) == 3 and isinstance(value[2], dict) else {}
        other = loading.get("pretrained_model_name_or_path")
        source = None
        if other and other != repository:
            source = (str(other), str(loading.get("revision") or "main"), str(loading.get("subfolder") or ""))
        yield Component(name, str(value[0]), str(value[1]), source)


def files_of(paths: Iterable[str], folder: str, library: str = "") -> list[str]:
    """Paths of the files of one component: its configs, and its tensors once.

    Args:
        folder: the component's, "" for the repository's root.
        library: whose weights are taken where two libraries' lie side by side.
    """
    prefix = f"{folder}/" if folder else ""
    names = [path[len(prefix):] for path in paths if path.startswith(prefix)]
    names = sorted(name for name in names if "/" not in name)
    plain = [name for name in names if name.endswith(_PLAIN) and ".index." not in name]
    return [prefix + name for name in plain + _tensors(names, _STEMS.get(library, ""))]


def _tensors(names: list[str], preferred: str) -> list[str]:
    """One set of shards with its index, else the single files; never a variant such as `model.fp16`."""
    stems = [name.removesuffix(_INDEX) for name in names if name.endswith(_INDEX)]
    stems = [stem for stem in stems if "." not in stem]
    singles = [name for name in names if re.fullmatch(r"[^.]+\.safetensors", name)]
    singles = [name for name in singles if not re.search(r"-\d+-of-\d+\.", name)]
    if preferred not in stems and f"{preferred}.safetensors" in singles:
        return [f"{preferred}.safetensors"]
    if not stems:
        return singles
    stem = preferred if preferred in stems else stems[0]
    shard = re.compile(rf"{re.escape(stem)}-\d+-of-\d+\.safetensors")
    return [stem + _INDEX, *filter(shard.fullmatch, names)]
