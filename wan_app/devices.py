"""What this machine has: device and cores. torch is imported only where said."""

from __future__ import annotations

import math
import os
from pathlib import Path

# A container's share of the processor: "200000 100000" is two cores, "max 100000" all of them.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


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
