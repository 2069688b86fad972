"""Checks of files: limits, crashes, the line, and whose is whose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from wan_app import errors
from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.runtime.checks import Checks, CheckView, reading

MODULE = "tests.runtime.fake_reading"


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def checks() -> Iterator[Checks]:
    made = Checks(MODULE)
    yield made
    made.close()


def start(checks: Checks, how: str, owner: str = "me", **asked: str) -> CheckView:
    return checks.start(owner, {"how": how, **asked}, lambda parts, seconds: dict(parts))


def test_parts_come_one_by_one() -> None:
    told: list[str] = []
    assert set(reading(MODULE, {"how": ""}, tell=told.append)) == {"first", "last"}
    assert told == ["first", "last"]


def test_what_was_found_before_the_limit_counts_and_nothing_runs_on() -> None:
    began = time.monotonic()
    parts = reading(MODULE, {"how": "hang"}, limit=10.0)
    assert time.monotonic() - began < 60
    assert set(parts) == {"first", "decoder"}
    assert gone(parts["first"]["pid"]) and gone(parts["decoder"])


@pytest.mark.parametrize(("how", "found"), [("crash", {"first"}), ("garble", {"first", "last"})])
def test_a_crash_or_half_an_answer_leaves_the_rest(how: str, found: set[str]) -> None:
    assert set(reading(MODULE, {"how": how})) == found


def test_a_refusal_is_an_error_of_the_file() -> None:
    with pytest.raises(InvalidRequest, match=r"file: got a.mp4 \(text\); needed a video"):
        reading(MODULE, {"how": "refuse"})
    with pytest.raises(WanAppError, match="the keys are damaged"):
        reading(MODULE, {"how": "complain"})


def test_a_check_ends_with_an_answer(checks: Checks) -> None:
    view = checks.wait(start(checks, "").id, "me")
    assert view.state == "finished" and view.answer["last"] is True and view.found == ("first", "last")


def test_one_runs_and_the_others_wait_their_turn(checks: Checks, tmp_path: Path) -> None:
    first = start(checks, "wait", until=str(tmp_path / "go"))
    second = start(checks, "")
    assert checks.before(second.id) == 1 and checks.view(second.id, "me").state == "waiting"
    (tmp_path / "go").touch()
    assert checks.wait(second.id, "me").state == "finished"
    assert checks.view(first.id, "me").state == "finished" and checks.before(second.id) == 0


def test_a_cancel_ends_the_process(checks: Checks) -> None:
    view, waiting = start(checks, "hang"), start(checks, "")
    checks.cancel(waiting.id, "me")
    assert checks.view(waiting.id, "me").state == "cancelled"
    while len(checks.view(view.id, "me").found) < 2:
        time.sleep(0.02)
    checks.cancel(view.id, "me")
    assert checks.wait(view.id, "me").state == "cancelled"
    assert checks.wait(waiting.id, "me").state == "cancelled"


def test_nobody_sees_or_stops_another_owners(checks: Checks) -> None:
    view = start(checks, "")
    for call in (checks.view, checks.cancel):
        with pytest.raises(JobNotFound):
            call(view.id, "somebody else")
    for wrong in (None, 5, "no such", ["x"]):
        with pytest.raises(JobNotFound):
            checks.view(wrong, "me")


def test_too_many_are_refused(checks: Checks, tmp_path: Path) -> None:
    for _ in range(4):
        start(checks, "wait", until=str(tmp_path / "go"))
    with pytest.raises(InvalidRequest, match="patience"):
        start(checks, "")
    assert start(checks, "", owner="somebody else").state == "waiting"


def test_a_fault_while_concluding_is_told(checks: Checks) -> None:
    def broken(parts: Any, seconds: float) -> Any:
        raise KeyError("ours")

    view = checks.wait(checks.start("me", {"how": ""}, broken).id, "me")
    assert view.state == "failed" and "KeyError" in str(view.error)


def test_closing_stops_what_runs() -> None:
    checks = Checks(MODULE)
    view = start(checks, "hang")
    while not checks.view(view.id, "me").found:
        time.sleep(0.02)
    began = time.monotonic()
    checks.close()
    assert time.monotonic() - began < 15


def test_a_stop_is_a_cancel() -> None:
    import threading

    stop = threading.Event()
    stop.set()
    with pytest.raises(errors.Cancelled):
        reading(MODULE, {"how": "hang"}, stop=stop)
