"""The model manager: loaded models, leased to whoever makes a video, the longest unused ones freed first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from wan_app.devices import free_memory
from wan_app.errors import OutOfMemory, WanAppError
from wan_app.families.base import Plan


class Closable(Protocol):
    """A loaded model: a `Pipeline`, a `Speaker`."""

    def close(self) -> None:
        """Free all memory the model holds."""


Model = TypeVar("Model", bound=Closable)
Load = Callable[[str, Plan, "Path | None"], Model]


class Key(NamedTuple):
    """What makes a loaded model the one that is asked for."""

    model_id: str
    plan: Plan
    weights: Path | None


class Room(NamedTuple):
    """Bytes that a run needs, and bytes there would be if no model were loaded."""

    need: int
    free: int


@dataclass
class _Loaded(Generic[Model]):
    model: Model
    need: int


class ModelManager(Generic[Model]):
    """Keeps models loaded while there is room, and frees the longest unused. Lives in the worker.

    Args:
        load: (model_id, plan, weights folder or None) -> model; called when a model is needed.
    """

    def __init__(self, load: Load[Model]) -> None:
        self._load = load
        self._lock = threading.RLock()
        self._models: dict[Key, _Loaded[Model]] = {}  # the longest unused first

    @property
    def loaded(self) -> str | None:
        """Id of the model that was used last, if one is loaded."""
        return next((key.model_id for key in reversed(self._models)), None)

    def plan_of(self, model_id: str, weights: Path | None = None) -> Plan | None:
        """The plan under which a model is loaded now, None if it is not."""
        known = (key.plan for key in reversed(self._models) if (key.model_id, key.weights) == (model_id, weights))
        return next(known, None)

    @contextmanager
    def lease(
        self, model_id: str, plan: Plan, weights: Path | None = None, *, room: Room | None = None
    ) -> Iterator[Model]:
        """The loaded model, for one user at a time.

        After an error which nobody foresaw its state is unknown, and after OutOfMemory room is
        needed: it is loaded anew next time. A cancel and other errors of ours leave it loaded.

        Args:
            room: what this run needs; other models stay loaded where it leaves place for them. Without
                it they go, and so does the same model under another plan or from another folder.
        """
        with self._lock:
            key = Key(model_id, plan, weights)
            self._make_room(key, room)
            one = self._models.pop(key, None)
            # Last in the dict is last used; a load that fails leaves nothing behind.
            one = self._models[key] = one or _Loaded(self._load(*key), 0)
            one.need = room.need if room else 0
            try:
                yield one.model
            except Exception as error:
                if isinstance(error, OutOfMemory) or not isinstance(error, WanAppError):
                    del one
                    self._close(key)
                raise

    def evict(self) -> None:
        """Free all loaded models, and give their memory back to the system."""
        with self._lock:
            for key in list(self._models):
                self._close(key)

    def _make_room(self, key: Key, room: Room | None) -> None:
        """Free models until the rest and this run have place; never the one that is asked for."""
        others = [one for one in self._models if one != key]
        # Two copies of one model help nobody.
        same = [one for one in others if one.model_id == key.model_id]
        for one in same + [one for one in others if one not in same]:
            held = sum(self._models[other].need for other in self._models if other != key)
            if room is None or one in same or held + room.need > room.free:
                self._close(one)

    def _close(self, key: Key) -> None:
        self._models.pop(key).model.close()
        free_memory()
