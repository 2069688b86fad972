"""Large modules that take turns on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class OneResident:
    """Keeps one of several modules on the device; a forward of another brings that one in instead.

    The others wait in the computer's own memory. The switch comes once or twice a video and takes
    seconds; all at once would take tens of gigabytes more of the card.

    Args:
        modules: the first one is brought in at once.
        device: a torch device string; on the CPU nothing moves.
    """

    def __init__(self, modules: Sequence[torch.nn.Module], device: str) -> None:
        self.device = device
        self.resident: torch.nn.Module | None = None
        for module in modules:
            self.add(module)
        self.bring(modules[0])

    def add(self, module: torch.nn.Module) -> None:
        """Let `module` take turns too; it waits."""
        module.to("cpu")
        module.register_forward_pre_hook(lambda one, _: self.bring(one))

    def bring(self, module: torch.nn.Module) -> None:
        """Put `module` on the device, and the one that is there away first."""
        if module is self.resident:
            return
        if self.resident is not None:
            self.resident.to("cpu")
            self._give_back_memory()
        module.to(self.device)
        self.resident = module

    def drop(self, module: torch.nn.Module) -> None:
        """Forget `module`, so that whoever else holds it can free it."""
        if module is self.resident:
            self.resident = None
            self._give_back_memory()

    def _give_back_memory(self) -> None:
        """The allocator keeps freed blocks in sizes which the next module may not fit."""
        import torch

        if torch.device(self.device).type == "cuda":
            torch.cuda.empty_cache()
