"""The model manager: one loaded model at a time, leased to whoever makes a video."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from wan_app.errors import OutOfMemory, WanAppError
from wan_app.families.base import Plan


class Closable(Protocol):
    """A loaded model: a `Pipeline`, a `Speaker`."""

    def close(self) -> None:
        """Free all memory the model holds."""


Model = TypeVar("Model", bound=Closable)
Load = Callable[[str, Plan, "Path | None"], Model]


class ModelManager(Generic[Model]):
    """Keeps the last model loaded and frees it before another is loaded. Lives in the worker.

    Args:
        load: (model_id, plan, weights folder or None) -> model; called when a model is needed.
    """

    def __init__(self, load: Load[Model]) -> None:
        self._load = load
        self._lock = threading.RLock()
        self._key: tuple[str, Plan, Path | None] | None = None
        self._model: Model | None = None

    @property
    def loaded(self) -> str | None:
        """Id of the model that is loaded, if one is."""
        return self._key[0] if self._key else None

    @contextmanager
    def lease(self, model_id: str, plan: Plan, weights: Path | None = None) -> Iterator[Model]:
        """The loaded model, for one user at a time.

        After an error which nobody foresaw its state is unknown, and after OutOfMemory room is
        needed: it is loaded anew next time. A cancel and other errors of ours leave it loaded.
        """
        with self._lock:
            key = (model_id, plan, weights)
            if self._key != key or self._model is None:
                self.evict()
                self._model = self._load(model_id, plan, weights)
                self._key = key
            try:
                yield self._model
            except Exception as error:
                if isinstance(error, OutOfMemory) or not isinstance(error, WanAppError):
                    self.evict()
                raise

    def evict(self) -> None:
        """Free the loaded model, and give its memory back to the system."""
        with self._lock:
            model, self._model, self._key = self._model, None, None
            if model is None:
                return
            model.close()
            del model
            free_memory()


def free_memory() -> None:
    """Collect cycles and hand freed memory back: to the card's pool, and to the system."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        # glibc keeps freed blocks; a model's worth of them would look like a leak. (musl keeps none
        # and has no such call.)
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
