"""Words read once: embeddings of prompts on disk."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# At most a megabyte each once trimmed; the longest unused go first.
MAX_KEPT = 500


class PromptCache:
    """Embeddings by prompt and text encoder. File names are hashes: no prompt can be read from a listing.

    Args:
        folder: None keeps nothing.
        reader: what the text encoder is: other weights or another quantization give other embeddings.
    """

    def __init__(self, folder: Path | None, reader: str) -> None:
        self.folder, self.reader = folder, reader

    def get(self, prompt: str) -> torch.Tensor | None:
        """The embedding (1, tokens, channels) on the CPU; None if it is not here."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if (file := self._file(prompt)) is None:
            return None
        try:
            stored = load_file(file)
            os.utime(file)
            return _padded(stored["embeds"], int(stored["tokens"]))
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
            log.warning("The embedding %s is read anew: %s", file.name, error)
            return None

    def put(self, prompt: str, embeds: torch.Tensor) -> None:
        """Keep an embedding (1, tokens, channels); a disk that can't take it costs only time."""
        import torch
        from safetensors.torch import save_file

        if (file := self._file(prompt)) is None:
            return
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=".part-")
            os.close(handle)
            embeds = embeds.detach().cpu()
            save_file({"embeds": _trimmed(embeds), "tokens": torch.tensor(embeds.shape[1])}, name)
            os.replace(name, file)
            for old in sorted(file.parent.glob("*.safetensors"), key=lambda one: one.stat().st_mtime)[:-MAX_KEPT]:
                old.unlink()

    def _file(self, prompt: str) -> Path | None:
        if self.folder is None:
            return None
        name = hashlib.sha256(f"{self.reader}\n{prompt}".encode()).hexdigest()
        return self.folder / f"{name}.safetensors"


def _trimmed(embeds: torch.Tensor) -> torch.Tensor:
    """Without the zeros with which short prompts are filled up."""
    words = embeds[0].ne(0).any(dim=-1).nonzero()
    return embeds[:, : int(words.max()) + 1 if len(words) else 0].contiguous()


def _padded(embeds: torch.Tensor, tokens: int) -> torch.Tensor:
    """With the zeros again."""
    if not embeds.shape[1] <= tokens <= 4096:
        raise ValueError(f"{embeds.shape[1]} of {tokens} tokens")
    filled = embeds.new_zeros(embeds.shape[0], tokens, embeds.shape[2])
    filled[:, : embeds.shape[1]] = embeds
    return filled
