"""A short run of the bad requests; `python -m tests.hostile --requests 1000` is the long one."""

from __future__ import annotations

from typing import Any

from tests.hostile import attack

COUNT = 200


def test_bad_requests_get_answers_and_never_a_traceback(studio: Any) -> None:
    before = studio.log().count("Traceback")
    found = attack(studio.url, COUNT, seed=7)
    assert found.broken == [] and sum(found.codes.values()) >= COUNT
    assert studio.log().count("Traceback") == before, studio.log()[-3000:]
    # Some of it is taken for what it is: odd, but allowed.
    assert sum(count for code, count in found.codes.items() if 400 <= code < 500) > COUNT / 2
