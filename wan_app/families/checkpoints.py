"""Loading one component of a diffusers-layout folder, and refusing one which is not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan_app.errors import ModelUnavailable


def load_component(cls: Any, folder: Path, name: str, dtype: Any) -> Any:
    """`cls.from_pretrained(folder, subfolder=name)` in evaluation mode, with every weight from the files.

    The libraries fill a tensor that a file lacks with random numbers and only log it; the video
    would be noise without an error, so here it is one.

    Args:
        cls: a diffusers ModelMixin or transformers PreTrainedModel class.
        dtype: torch dtype of the weights.
    Raises:
        ModelUnavailable: naming the first tensor that is missing or of another shape.
    """
    model, info = cls.from_pretrained(
        folder, subfolder=name, torch_dtype=dtype, use_safetensors=True, local_files_only=True,
        output_loading_info=True,
    )  # fmt: skip
    faults = [*(info.get("missing_keys") or ()), *(info.get("mismatched_keys") or ())]
    lacking = sorted(_key(entry) for entry in faults)
    if lacking:
        raise ModelUnavailable(
            f"{folder / name}: {len(lacking)} of the {cls.__name__}'s tensors are missing or of another "
            f"shape, the first is {lacking[0]}; fetch it again"
        )
    return model.eval()


def _key(entry: Any) -> str:
    """Missing keys are names, mismatched ones tuples of name and shapes."""
    return entry if isinstance(entry, str) else str(entry[0])
