"""What Prometheus asks for, as text; counted here, so that no client library is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Seconds; most answers take a few milliseconds, a status poll should stay below 0.3.
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 5.0)
_HELP = {
    "wan_app_requests_total": ("counter", "Answered HTTP requests"),
    "wan_app_refused_total": ("counter", "Requests turned away, by reason"),
    "wan_app_request_seconds": ("histogram", "Time to the beginning of an answer"),
    "wan_app_jobs": ("gauge", "Jobs in the ledger, by state"),
    "wan_app_queue_length": ("gauge", "Jobs that wait"),
    "wan_app_video_seconds": ("gauge", "Length of all finished videos in the ledger"),
    "wan_app_work_seconds": ("gauge", "Time that making them took"),
    "wan_app_memory_bytes": ("gauge", "Resident memory, by process"),
    "wan_app_disk_free_bytes": ("gauge", "Free space where results are kept"),
    "wan_app_up_seconds": ("gauge", "Time since the start"),
}


@dataclass(frozen=True)
class Sample:
    """One number."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Metrics:
    """Counters of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter. Labels come from short fixed lists, never from a request."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0.0) + amount

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One answered request."""
        self.count("wan_app_requests_total", route=route, status=str(status))
        for edge in (*_BUCKETS, float("inf")):
            if seconds <= edge:
                self.count("wan_app_request_seconds_bucket", le=f"{edge:g}".replace("inf", "+Inf"))
        self.count("wan_app_request_seconds_sum", seconds)
        self.count("wan_app_request_seconds_count")

    def text(self, gauges: Iterable[Sample] = ()) -> str:
        """Everything, in the Prometheus text format 0.0.4."""
        with self._lock:
            found = [Sample(name, value, dict(labels)) for (name, labels), value in self._counts.items()]
        lines: list[str] = []
        for name, samples in _grouped([*found, *gauges]).items():
            if name in _HELP:
                kind, about = _HELP[name]
                lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            lines += [_line(one) for one in samples]
        return "\n".join(lines) + "\n"


def _grouped(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    groups: dict[str, list[Sample]] = {}
    for one in samples:
        base = one.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        groups.setdefault(base if base in _HELP else one.name, []).append(one)
    return {name: sorted(group, key=_order) for name, group in sorted(groups.items())}


def _order(one: Sample) -> tuple[str, float, str]:
    return one.name, float(one.labels.get("le", 0)), str(sorted(one.labels.items()))


def _line(one: Sample) -> str:
    labels = ",".join(f'{name}="{_safe(value)}"' for name, value in one.labels.items())
    return f"{one.name}{{{labels}}} {one.value:.10g}" if labels else f"{one.name} {one.value:.10g}"


def _safe(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
