"""What every diffusion family needs around a run: progress, cancel points, out-of-memory in one line."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from wan_app.errors import OutOfMemory
from wan_app.families.base import cancel_points
from wan_app.types import Reporter, Step


class Progress:
    """Step events with the time left.

    Args:
        total: denoising steps of the run.
        tail: seconds expected after the last step (decoding).
    """

    def __init__(self, report: Reporter, total: int, tail: float = 0.0) -> None:
        self._report, self._total, self._tail = report, total, tail
        self._times = [time.monotonic()]

    def step(self, preview: bytes | None = None) -> None:
        """Report the next step as done. Raises errors.Cancelled."""
        self._times.append(time.monotonic())
        done = len(self._times) - 1
        # Encoding the pictures counts into the first step, so later ones are measured from its end.
        since = self._times[1] if done > 1 else self._times[0]
        eta = (self._times[-1] - since) / max(1, done - 1) * (self._total - done) + self._tail
        self._report(Step(index=done, total=self._total, eta=eta, preview=preview))
        self._report.check()


@contextmanager
def interruptible(model_id: str, parts: Iterable[Any], names: Collection[str], report: Reporter) -> Iterator[None]:
    """A run with a cancel point on every block, and a full card told in one line.

    Args:
        parts: components of a pipeline; what is no torch module is passed over.
        names: class names of the blocks before which `report.check` is called.
    Raises:
        OutOfMemory: instead of torch's own.
    """
    import torch

    modules = (module for part in parts if isinstance(part, torch.nn.Module) for module in part.modules())
    blocks = [module for module in modules if type(module).__name__ in names]
    try:
        with cancel_points(blocks, report.check):
            yield
    except torch.OutOfMemoryError as error:
        # Not chained: its traceback would keep every tensor of the run alive.
        raise OutOfMemory(f"{model_id}: {str(error).splitlines()[0]}") from None
