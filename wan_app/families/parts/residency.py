"""Large modules that take turns on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def stream_blocks(transformer: Any, device: str) -> None:
    """Keep a diffusers model in the computer's memory, and each block on the device only while it works.

    On a card the next block is on its way meanwhile.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    for weight in transformer.parameters():
        # bitsandbytes' scales are no part of the tensor that is moved; they are small, and stay.
        if getattr(weight, "quant_state", None) is not None:
            weight.quant_state.to(device)
    ahead = torch.device(device).type == "cuda"
    apply_group_offloading(
        transformer, onload_device=torch.device(device), offload_device=torch.device("cpu"),
        offload_type="block_level", num_blocks_per_group=1, use_stream=ahead, record_stream=ahead, non_blocking=ahead,
    )  # fmt: skip


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

    def rest(self) -> None:
        """Put the resident away until its next forward: something else needs the room."""
        if self.resident is not None:
            self.resident.to("cpu")
            self.resident = None
            self._give_back_memory()

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
