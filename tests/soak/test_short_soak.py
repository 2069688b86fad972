"""A short soak with every test run; the one that tells is `python -m tests.soak --minutes 30`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import DRIFT, table
from tests.soak.soak import Soak, run

# A short time sees mostly the warming up, the more of it the slower the machine (0.22 at a load of 15): only what runs
# away shows here, tens of megabytes a job.
SHORT = 0.4


@pytest.mark.e2e
@pytest.mark.slow
def test_memory_does_not_run_away(tmp_path: Path) -> None:
    soak = run(tmp_path, minutes=0.7)
    assert soak.wrong == [], soak.wrong
    assert sum(count for what, count in soak.done.items() if what.endswith("finished")) >= 2, soak.done
    for process in ("server", "worker"):
        assert soak.drift(process) <= SHORT, table(soak)


def test_a_leak_is_seen() -> None:
    def grown(share: float) -> Soak:
        soak = Soak(seconds=100.0)
        soak.memory["server"] = [(float(at), int(1e8 * (1 + share * at / 100))) for at in range(100)]
        return soak

    assert grown(0.2).drift("server") > DRIFT > grown(0.02).drift("server")
    warmed = Soak(seconds=100.0, memory={"server": [(at, int(1e8 if at < 20 else 2e8)) for at in range(100)]})
    assert warmed.drift("server") == 0.0 and warmed.peak("server") == 2e8
    assert Soak().drift("worker") == 0.0
