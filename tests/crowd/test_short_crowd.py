"""A small crowd with every test run; the full one is `python -m tests.crowd --visitors 20`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crowd.__main__ import table
from tests.crowd.crowd import Seen, run
from tests.visitor import percentile

# A machine that others use too answers later; the full crowd asks for 0.3 s.
SLACK = 4.0


@pytest.mark.e2e
@pytest.mark.slow
def test_everybody_has_their_turn(tmp_path: Path) -> None:
    seen = run(tmp_path, visitors=3, jobs=2)
    assert seen.wrong == [], seen.wrong
    assert len(seen.order) == 6 and seen.unfair(3) == [], seen.order
    # One stall hits all three visitors at once: three of some fifty looks.
    assert percentile(seen.seconds["tick"], 0.8) <= 0.3 * SLACK


def test_what_is_unfair_is_seen() -> None:
    assert Seen(order=[0, 1, 2, 2, 0, 1]).unfair(3) == []
    assert Seen(order=[0, 1, 0, 1, 1]).unfair(2) == [], "who wants more may have more when nobody waits"
    assert len(Seen(order=[0, 0, 1, 1]).unfair(2)) == 1
    shown = table(Seen(order=[0, 0, 1], seconds={"tick": [0.1, 0.2]}, wrong=["x: 500"]), 2)
    assert "1 out of turn" in shown and "200 ms p95" in shown and "x: 500" in shown


def test_percentiles() -> None:
    values = [float(one) for one in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile(values, 1.0)) == (51.0, 96.0, 100.0)
    assert percentile([], 0.95) == 0.0
