"""What this machine has: device, cores, free memory. torch is imported only where said."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# A container's share of the processor: "200000 100000" is two cores, "max 100000" all of them.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_MEMORY_USED = Path("/sys/fs/cgroup/memory.current")
# Dense bf16 TFLOP/s with sums in fp32, from the makers' data sheets. The longest name that is part of
# the driver's name for the card counts.
_CARDS = {
    "RTX 3050": 13.5, "RTX 3060": 25.6, "RTX 3070": 40.6, "RTX 3080": 59.5, "RTX 3090": 71.0,
    "RTX 4060": 30.2, "RTX 4060 Ti": 44.1, "RTX 4070": 58.3, "RTX 4080": 97.5, "RTX 4090": 165.2,
    "RTX 5060": 38.0, "RTX 5060 Ti": 47.0, "RTX 5070": 61.7, "RTX 5080": 112.6, "RTX 5090": 209.5,
    "T4": 65.0, "A10": 125.0, "L4": 121.0, "A6000": 155.0, "L40S": 362.0, "A100": 312.0,
    "H100": 989.0, "H200": 989.0, "B200": 2250.0,
}  # fmt: skip
# What a card of so many GiB usually is, for a question about a card that is not here.
_USUAL = {
    6: "RTX 3050", 8: "RTX 4060", 12: "RTX 3060", 16: "RTX 4060 Ti", 24: "RTX 4090", 32: "RTX 5090",
    48: "L40S", 80: "H100", 141: "H200",
}  # fmt: skip
# One core with AVX2 in fp32, within a factor of two; local runs correct it.
_CORE_TFLOPS = 0.05
_GIB = 2**30
# What memory errors say that have no exception class of their own.
_MEMORY_TEXT = re.compile(
    r"DefaultCPUAllocator: can't allocate memory|CUDA error: out of memory\s*$|CU(BLAS|DNN)_STATUS_ALLOC_FAILED",
    re.MULTILINE,
)
# The desktop and the driver's own share of a card that is not here.
_TAKEN = 0.6 * _GIB
# What the system leaves of memory that is not here.
_IDLE = 0.9


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a plan is held against. Bytes; free ones count what a loaded model of ours would give back.

    `device` is a torch device string. On a machine without a card `vram` is 0 and RAM is what counts.
    `tflops` is the rate of the data sheet, dense in bf16, or a guess from the number of cores.
    """

    device: str
    name: str
    vram: int = 0
    vram_free: int = 0
    ram: int
    ram_free: int
    disk_free: int
    tflops: float

    def instead(self, vram_gib: float | None = None, ram_gib: float | None = None) -> Machine:
        """This machine with another card, other memory or both, with nothing else using them."""
        changed = self
        if ram_gib is not None:
            ram = int(ram_gib * _GIB)
            changed = replace(changed, ram=ram, ram_free=int(ram * _IDLE))
        if vram_gib is None:
            return changed
        name = _USUAL[max((one for one in _USUAL if one <= vram_gib), default=min(_USUAL))]
        return replace(
            changed, device="cuda", name=f"a card of {vram_gib:g} GB, as fast as an {name}",
            vram=int(vram_gib * _GIB), vram_free=max(0, int(vram_gib * _GIB - _TAKEN)), tflops=_CARDS[name],
        )


def cores() -> int:
    """CPU cores this process may use (containers and taskset give fewer than the machine has)."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity call
        allowed = os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        # 64 threads on a share of two cores wait for each other most of the time.
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return allowed


def pick_device(wanted: str | None = None) -> str:
    """A torch device string: `wanted`, else the first of cuda, mps, cpu that works. Imports torch."""
    if wanted:
        return wanted
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def describe(wanted: str | None = None) -> str:
    """A short line for people ("CPU, 2 cores"), without importing torch."""
    if wanted not in (None, "cpu"):
        return wanted.upper()
    if wanted is None and (name := _nvidia_name()):
        return name
    count = cores()
    return f"CPU, {count} core{'s' if count > 1 else ''}"


def _nvidia_name() -> str | None:
    # The driver tells the card's name in a text file; asking torch would cost 2 s and 200 MiB.
    for card in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in card.read_text(errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return None


# --- Memory ----------------------------------------------------------------------------------


def machine(folder: Path, wanted: str | None = None, *, own_pid: int | None = None) -> Machine:
    """What is here and free now. No torch: the driver's own tool and the system are asked.

    Args:
        folder: where results and copies go; its disk counts.
        wanted: `Settings.device`.
        own_pid: a process of ours; what it holds would be given back before another model loads.
    """
    ram, ram_free = _ram(own_pid)
    disk = shutil.disk_usage(next(one for one in (folder, *folder.absolute().parents) if one.is_dir())).free
    card = _card(wanted or "cuda", own_pid) if wanted is None or wanted.startswith("cuda") else None
    if card is None:
        other = "mps" if sys.platform == "darwin" else "cpu"
        return Machine(
            device=wanted or other, name=describe(wanted), ram=ram, ram_free=ram_free, disk_free=disk,
            tflops=_CORE_TFLOPS * cores(),
        )
    name, vram, vram_free = card
    return Machine(
        device=wanted or "cuda", name=name, vram=vram, vram_free=vram_free, ram=ram, ram_free=ram_free, disk_free=disk,
        tflops=tflops_of(name),
    )


def tflops_of(card: str) -> float:
    """The data sheet's rate of a card by its driver's name; that of a middling card if it is not known."""
    known = [name for name in _CARDS if name in card]
    return _CARDS[max(known, key=len)] if known else 40.0


def _card(device: str, own_pid: int | None) -> tuple[str, int, int] | None:
    """Name, bytes and free bytes of an NVIDIA card, None without one."""
    if own_pid == os.getpid() and (cuda := _torch_card()):
        free, total = cuda.mem_get_info(device)
        return cuda.get_device_name(device), total, free + cuda.memory_reserved(device)
    number = device.partition(":")[2] or "0"
    rows = _nvidia_smi("--query-gpu=name,memory.total,memory.free", number)
    if not rows or not (rows[0][1].isdigit() and rows[0][2].isdigit()):
        return None
    name, total, free = rows[0]
    running = _nvidia_smi("--query-compute-apps=pid,used_memory", number) if own_pid else []
    own = sum(int(used) for pid, used in running if pid == str(own_pid) and used.isdigit())
    return name, int(total) * 2**20, (int(free) + own) * 2**20


def _nvidia_smi(query: str, number: str) -> list[list[str]]:
    """What the driver's tool says of one card, by row and column; nothing where there is no such tool."""
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits", f"--id={number}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == query.count(",") + 1]


def _ram(own_pid: int | None) -> tuple[int, int]:
    """Bytes of RAM, and of it free, within a container's limit."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    with suppress(OSError, ValueError):  # no such file, or "max"
        limit = int(_MEMORY_LIMIT.read_text())
        total, free = min(total, limit), min(free, max(0, limit - int(_MEMORY_USED.read_text())))
    if own_pid:
        with suppress(psutil.Error):
            free = min(total, free + psutil.Process(own_pid).memory_info().rss)
    return total, free


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that caused it, truly is about memory."""
    torch = sys.modules.get("torch")
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if torch is not None and isinstance(error, torch.OutOfMemoryError):
            return True
        # torch's CPU allocator and CUDA's own libraries have no exception class, only these texts.
        if isinstance(error, RuntimeError) and _MEMORY_TEXT.search(str(error)):
            return True
        error = error.__cause__
    return False


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


class PeakMemory:
    """The most memory this process held since `start`: on the card, and in RAM."""

    def start(self) -> None:
        """Begin anew."""
        if card := _torch_card():
            card.reset_peak_memory_stats()
        with suppress(OSError):  # Linux only
            Path("/proc/self/clear_refs").write_text("5")

    def bytes(self) -> tuple[int, int]:
        """(VRAM, RAM); 0 where it cannot be told."""
        card = _torch_card()
        with suppress(OSError, ValueError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return (card.max_memory_reserved() if card else 0), int(line.split()[1]) * 1024
        return (card.max_memory_reserved() if card else 0), 0


def _torch_card() -> Any:
    """torch.cuda if torch is loaded and has a card, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
