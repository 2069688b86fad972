"""Token buckets."""

from __future__ import annotations

from wan_app.sharing.rates import Limit, Rates


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_a_pace_and_everybody_for_themselves() -> None:
    clock = Clock()
    rates = Rates({"call": Limit(3, 2.0)}, clock)
    assert [rates.take("call", "a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("call", "b") == 0
    clock.now = 0.5
    assert [rates.take("call", "a") for _ in range(2)] == [0, 0.5]
    clock.now = 1000.0
    assert [rates.take("call", "a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_what_is_larger_than_a_burst_is_owed() -> None:
    clock = Clock()
    rates = Rates({"bytes": Limit(100, 10)}, clock)
    assert rates.take("bytes", "a", 150) == 0 and rates.take("bytes", "a", 10) == 6.0
    clock.now = 6.0
    assert rates.take("bytes", "a", 10) == 0


def test_strangers_do_not_fill_the_memory() -> None:
    rates = Rates({"call": Limit(3, 2.0)}, Clock())
    for one in range(12_000):
        rates.take("call", str(one))
    assert len(rates._buckets) == 10_000
