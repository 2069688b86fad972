"""Loading one component of a diffusers-layout folder, and refusing one which is not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan_app.errors import ModelUnavailable
from wan_app.families.weights.quantized import QuantizedCopy


def load_component(
    cls: Any, folder: Path, name: str, dtype: Any, quantization: str = "none", *, cache: Path | None = None
) -> Any:
    """`cls.from_pretrained(folder, subfolder=name)` in evaluation mode, with every weight from the files.

    The libraries fill a tensor that a file lacks with random numbers and only log it; the video
    would be noise without an error, so here it is one.

    Args:
        cls: a diffusers ModelMixin or transformers PreTrainedModel class.
        dtype: torch dtype of the weights.
        quantization: a name in `ModelSpec.memory`; for the large parts only, autoencoders stay as they are.
        cache: where a quantized copy is kept, which later loads read in place of the folder (`Plan.cache`).
    Raises:
        ModelUnavailable: naming the first tensor that is missing or of another shape.
    """
    if quantization == "none":
        return _load(cls, folder / name, dtype)
    config = _bitsandbytes(cls, quantization, dtype)
    if cache is None:
        return _load(cls, folder / name, dtype, quantization_config=config)
    copy = QuantizedCopy(cache / "quantized", folder / name, f"{cls.__name__} {config.to_json_string()} {dtype}")
    if copy.is_whole():
        return _load(cls, copy.folder, dtype)
    model = _load(cls, folder / name, dtype, quantization_config=config)
    copy.keep(model)
    return model


def _load(cls: Any, folder: Path, dtype: Any, **extra: Any) -> Any:
    model, info = cls.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True, **extra
    )
    faults = [*(info.get("missing_keys") or ()), *(info.get("mismatched_keys") or ())]
    lacking = sorted(_key(entry) for entry in faults)
    if lacking:
        raise ModelUnavailable(
            f"{folder}: {len(lacking)} of the {cls.__name__}'s tensors are missing or of another "
            f"shape, the first is {lacking[0]}; fetch it again"
        )
    return model.eval()


def _bitsandbytes(cls: Any, quantization: str, dtype: Any) -> Any:
    """The configuration object of the library that `cls` is from: each knows only its own."""
    import importlib

    library = importlib.import_module(cls.__module__.partition(".")[0])
    if quantization == "int8":
        return library.BitsAndBytesConfig(load_in_8bit=True)
    if quantization == "nf4":
        return library.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype,
            # The scales in 8 bits too: half a gigabyte less for 14 billion parameters.
            bnb_4bit_use_double_quant=True,
        )
    raise ModelUnavailable(f"quantization: got {quantization!r}; needed none, int8 or nf4")


def _key(entry: Any) -> str:
    """Missing keys are names, mismatched ones tuples of name and shapes."""
    return entry if isinstance(entry, str) else str(entry[0])
