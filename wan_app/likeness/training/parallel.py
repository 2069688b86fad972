"""Data-parallel training without ceremony: one process and one thread per core, or one GPU.

Two threads in one process were several times slower than two processes with a thread each (measured),
so the CPU way is processes whose gradients are averaged over gloo.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


@dataclass(frozen=True)
class Rank:
    """This process's place: `index` of `count`, computing on `device`."""

    index: int
    count: int
    device: str

    @property
    def main(self) -> bool:
        return self.index == 0

    def average(self, tensors: Iterable[torch.Tensor | None]) -> None:
        """Replace each tensor by its mean over all ranks, in one message."""
        if self.count == 1:
            return
        present = [tensor for tensor in tensors if tensor is not None]
        flat = torch.cat([tensor.flatten() for tensor in present])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, part in zip(present, flat.split([t.numel() for t in present])):
            tensor.copy_(part.view_as(tensor))

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self.average(parameter.grad for parameter in parameters)

    def autocast(self) -> torch.autocast:
        """bf16 where matrices are multiplied: 17 times fp32 on a CPU with AMX (measured)."""
        return torch.autocast(self.device.split(":")[0], torch.bfloat16)


def run(work: Callable[..., None], *args, device: str = "cpu", processes: int | None = None) -> None:
    """Run `work(rank, *args)` on every core (or once on a GPU) and wait for all of them."""
    if device != "cpu":
        work(Rank(0, 1, device), *args)
        return
    count = processes or os.cpu_count() or 1
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
    if count == 1:
        torch.set_num_threads(1)
        work(Rank(0, 1, "cpu"), *args)
        return
    with tempfile.NamedTemporaryFile() as meeting:
        mp.spawn(_enter, args=(count, meeting.name + ".store", work, args), nprocs=count, join=True)


def _enter(index: int, count: int, store: str, work: Callable[..., None], args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=index, world_size=count)
    try:
        work(Rank(index, count, "cpu"), *args)
    finally:
        dist.destroy_process_group()
