"""LoRAs: small weights that are laid over a Wan transformer for one run, and are gone after it.

Forward hooks and not the peft library: they work alike on plain, quantized and streamed layers, and
nothing is left behind however a run ends. No torch is imported until a run wants it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.errors import InvalidRequest, ModelUnavailable
from wan_app.families.spec import ModelSpec
from wan_app.families.weights.locate import locate_file, problem_with_tensors
from wan_app.settings import Settings
from wan_app.types import GenerationRequest, Lora

if TYPE_CHECKING:
    import torch

MAX_LORAS = 4
# Beyond this any LoRA is noise; below 0 some are used to push away from what they learned.
_WEIGHTS = (-2.0, 2.0)
_DOWN = re.compile(r"(?:^|[._])lora_(?:A|down)\.")
# The first layer of attention, in the words of diffusers, of Wan's authors and of musubi: its input is as
# wide as the model.
_QUERY = re.compile(r"blocks[._]\d+[._](?:attn1[._]to_q|self_attn[._]q)\.(?:lora_A|lora_down)\.(?:default\.)?weight$")
# How files for the two experts of A14B are called.
_EXPERTS = {"high": 0, "low": 1}


# --- Before the run ------------------------------------------------------------------------------


def with_preset(request: GenerationRequest, spec: ModelSpec, settings: Settings) -> GenerationRequest:
    """The request with the LoRAs of its preset before its own.

    Raises:
        ModelUnavailable: they are not on this machine; names what they are and how to get them.
    """
    if request.preset != "fast" or spec.fast is None:
        return request
    files = [locate_file(spec.fast.repository, name, settings) for name in spec.fast.files]
    if None in files:
        size = f"{spec.fast.download_bytes / 1e9:.1f} GB, {spec.fast.licence}"
        raise ModelUnavailable(
            f"preset fast of {spec.id}: its LoRA is not on this machine; needed: {spec.fast.repository} ({size}), "
            f"fetched with: python -m wan_app download {spec.id} --preset fast; or preset quality"
        )
    return replace(request, loras=(*(Lora(file) for file in files if file), *request.loras))


def lacking_bytes(request: GenerationRequest, spec: ModelSpec, settings: Settings) -> int:
    """What the request's preset still has to fetch."""
    try:
        with_preset(request, spec, settings)
    except ModelUnavailable:
        return spec.fast.download_bytes if spec.fast else 0
    return 0


def check(loras: Sequence[Lora], spec: ModelSpec) -> None:
    """Raise InvalidRequest, naming the file, unless each can be a LoRA for this model; reads headers only."""
    if loras and not spec.takes_loras:
        raise InvalidRequest("lora", loras[0].file.name, f"none: {spec.id} takes no LoRAs")
    if len(loras) > MAX_LORAS:
        raise InvalidRequest("lora", f"{len(loras)} files", f"at most {MAX_LORAS}")
    for one in loras:
        low, high = _WEIGHTS
        if isinstance(one.weight, bool) or not isinstance(one.weight, (int, float)) or not low <= one.weight <= high:
            raise InvalidRequest("lora", f"weight {one.weight!r} for {one.file.name}", f"{low:g} to {high:g}")
        _check_file(one.file, spec)


def _check_file(file: Path, spec: ModelSpec) -> None:
    needed = f"a LoRA for {spec.title} as a .safetensors file"
    if not file.is_file():
        raise InvalidRequest("lora", f"{file.name}, which is {'a folder' if file.is_dir() else 'not there'}", needed)
    if problem := problem_with_tensors(file):
        raise InvalidRequest("lora", f"{file.name}, which {problem}", needed)
    rows = _header(file)
    if not any(_DOWN.search(name) for name in rows):
        raise InvalidRequest("lora", f"{file.name}, which holds no LoRA", needed)
    width = spec.costs.width if spec.costs else None
    for name, row in rows.items():
        if width and _QUERY.search(name) and row["shape"][-1] != width:
            raise InvalidRequest(
                "lora", f"{file.name}, made for a model of width {row['shape'][-1]}",
                f"one for {spec.title}, of width {width}",
            )


def _header(file: Path) -> dict[str, Any]:
    """Of a whole safetensors file: rows by tensor name, and `__metadata__`."""
    with file.open("rb") as stream:
        return dict(json.loads(stream.read(int.from_bytes(stream.read(8), "little"))))


def _saved_scale(file: Path) -> float:
    """alpha / rank as diffusers keeps them beside its LoRAs; 1 where it does not."""
    try:
        kept = json.loads(_header(file)["__metadata__"]["lora_adapter_metadata"])
        return float(kept["transformer.lora_alpha"]) / float(kept["transformer.r"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 1.0


# --- During the run ------------------------------------------------------------------------------


@contextmanager
def applied(loras: Sequence[Lora], transformers: Sequence[Any], device: str) -> Iterator[None]:
    """The transformers with the LoRAs over them.

    Args:
        transformers: one, or the two experts; a file with `high` or `low` in its name is for one of these.
    Raises:
        InvalidRequest: a LoRA for another model, naming it and the first layer that does not fit.
    """
    with ExitStack() as stack:
        for one in loras:
            layers = read(one)
            for model in _meant(one.file, transformers):
                _check_layers(one.file, layers, model)
                for name, (down, up, bias) in layers.items():
                    tensors = [None if part is None else part.to(device) for part in (down, up, bias)]
                    handle = model.get_submodule(name).register_forward_hook(_adding(*tensors))
                    stack.callback(handle.remove)
        yield


Layer = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor | None"]


def read(lora: Lora) -> dict[str, Layer]:
    """(down, up, bias) by the name of the layer in diffusers' words; the weight is in `up` and `bias`.

    Raises:
        InvalidRequest: in no layout that is known for Wan.
    """
    import torch
    from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
    from safetensors.torch import load_file

    try:
        tensors = WanLoraLoaderMixin.lora_state_dict(_usual_names(load_file(lora.file)))
    except Exception as error:  # the converter meets strange files with KeyError, ValueError and others
        raise InvalidRequest(
            "lora", f"{lora.file.name}, whose layers are not known ({str(error)[:80]})", "a LoRA for a Wan model"
        ) from None
    saved = _saved_scale(lora.file)
    names = sorted(name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight"))
    layers: dict[str, Layer] = {}
    for name in names:
        down, up = tensors[f"{name}.lora_A.weight"], tensors.get(f"{name}.lora_B.weight")
        if up is None or down.shape[0] != up.shape[-1]:
            raise InvalidRequest("lora", f"{lora.file.name}, broken at {name}", "a whole file")
        bias = tensors.get(f"{name}.lora_B.bias")
        alpha = tensors.get(f"{name}.alpha")
        scale = lora.weight * (float(alpha) / down.shape[0] if alpha is not None else saved)
        layers[name.removeprefix("transformer.")] = (
            down.to(torch.bfloat16), (up.float() * scale).to(torch.bfloat16),
            None if bias is None else (bias.float() * lora.weight).to(torch.bfloat16),
        )
    return layers


def _usual_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Names with which diffusers' converter begins: trainers put other words in front."""
    found = {}
    for name, tensor in tensors.items():
        name = name.replace(".default.", ".").removeprefix("base_model.model.")
        if re.match(r"blocks\.\d+\.(self_attn|cross_attn|ffn\.\d)", name):
            name = "diffusion_model." + name
        elif name.startswith(("blocks.", "condition_embedder.", "proj_out.")):
            name = "transformer." + name
        found[name] = tensor
    return found


def _meant(file: Path, transformers: Sequence[Any]) -> Iterable[Any]:
    """Both experts, unless the file's name (or that of its folder's last part) says which."""
    words = re.split(r"[^a-z]+", file.stem.lower())
    for word, index in _EXPERTS.items():
        if word in words and len(transformers) > 1:
            return [transformers[index]]
    return transformers


def _check_layers(file: Path, layers: Mapping[str, Layer], model: Any) -> None:
    modules = dict(model.named_modules())
    for name, (down, up, _) in layers.items():
        module = modules.get(name)
        found = (down.shape[-1], up.shape[0])
        fitting = (getattr(module, "in_features", None), getattr(module, "out_features", None))
        if found != fitting:
            needed = f"{fitting[0]} to {fitting[1]}" if module is not None else "no such layer"
            raise InvalidRequest(
                "lora", f"{file.name}, a LoRA for another model ({name}: {found[0]} to {found[1]})",
                f"one for this model ({needed})",
            )
    if not layers:
        raise InvalidRequest("lora", f"{file.name}, which changes no layer of this model", "a LoRA for it")


def _adding(down: torch.Tensor, up: torch.Tensor, bias: torch.Tensor | None) -> Any:
    """A forward hook that adds what the LoRA says to the layer's output, in place."""

    def hook(module: Any, args: tuple[Any, ...], output: Any) -> Any:
        rows = output.view(-1, output.shape[-1])
        inner = args[0].reshape(-1, args[0].shape[-1]).to(down.dtype) @ down.T
        rows.addmm_(inner.to(rows.dtype), up.T.to(rows.dtype))
        if bias is not None:
            rows.add_(bias)
        return output

    return hook
