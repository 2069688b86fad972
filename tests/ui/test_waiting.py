"""The list of what waits: what it shows, and that its buttons change one's own jobs only."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ui.remembering import ME, MINE, RememberingServices
from wan_app.errors import InvalidRequest
from wan_app.runtime.job import JobView
from wan_app.types import GenerationRequest, Queued
from wan_app.ui.handlers import Page
from wan_app.ui.waiting import Waiting, listing


@pytest.fixture
def jobs(services: RememberingServices) -> list[JobView]:
    """One that runs (job-1) and two that wait, all MINE."""
    services.put(GenerationRequest(mode="text", prompt="a <fox>"), owner=MINE.owner)
    first = services.jobs_by_id["job-1"]
    for number in (2, 3):
        services.jobs_by_id[f"job-{number}"] = replace(
            first, id=f"job-{number}", state="queued", event=Queued(number - 1, 60.0 * number),
            request=replace(first.request, prompt=f"prompt {number}"),
        )
    return list(services.jobs_by_id.values())


@pytest.fixture
def queue(page: Page) -> Waiting:
    return Waiting(page=page, listed=page.stage.waiting, living=page.stage.living, timer=page.queue_timer)


def click(queue: Waiting, act: str, job: str = "job-2") -> Any:
    return queue.on_click(ME, SimpleNamespace(_data={"act": act, "job": job}))  # type: ignore[arg-type]


def test_each_job_says_where_it_stands_and_when_it_begins(jobs: list[JobView]) -> None:
    shown = listing(jobs, "another")
    assert "a &lt;fox&gt;" in shown and "<fox>" not in shown
    assert "Drawing, step 1 of 4 · about 3 s left" in shown
    assert "Waiting, 2 before you · begins in about 3 min 0 s" in shown
    assert shown.count("<li") == 3 and shown.count('data-act="front"') == 2
    assert shown.count('data-act="cancel"') == 1 and shown.count('data-act="remove"') == 2
    assert shown.count(">Watch<") == 3


def test_what_the_stage_says_is_not_said_twice(jobs: list[JobView]) -> None:
    assert listing(jobs[:1], "job-1") == "" == listing([], "job-1") == listing(jobs[1:2], "job-2")
    assert "fox" not in listing(jobs, "job-1") and listing(jobs, "job-1").count("<li") == 2
    assert listing(jobs, "job-2").count("<li") == 3 and listing(jobs, "job-2").count(">Watch<") == 2
    assert "Watch" in listing(jobs[:1], "another")


def test_a_time_that_is_not_known_is_not_told(jobs: list[JobView]) -> None:
    assert "begins" not in listing([replace(jobs[1], event=Queued(1))], "")


@pytest.mark.parametrize("act", ["front", "up", "down"])
def test_a_move_is_asked_for(
    queue: Waiting, jobs: list[JobView], services: RememberingServices, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(services, "move", lambda *given, **named: asked.append((given, named)), raising=False)
    updates = click(queue, act)
    assert asked == [(("job-2", act), {"owner": MINE.owner})]
    assert "prompt 2" in updates[queue.listed] and updates[queue.timer].active


@pytest.mark.parametrize("act", ["duplicate", "remove", "cancel"])
def test_a_wish_is_passed_on_with_its_owner(
    queue: Waiting, jobs: list[JobView], services: RememberingServices, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(services, act, lambda *given, **named: asked.append((given, named)), raising=False)
    click(queue, act)
    assert asked == [(("job-2",), {"owner": MINE.owner})]


def test_watching_brings_a_job_onto_the_stage(queue: Waiting, jobs: list[JobView], page: Page) -> None:
    updates = click(queue, "show")
    assert updates[page.session] == {"job": "job-2"} and "prompt 2" in updates[page.stage.card]
    assert set(updates) <= set(queue.click_outputs())


def test_a_wish_that_comes_too_late_is_told_in_the_list(
    queue: Waiting, jobs: list[JobView], services: RememberingServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: Any, **__: Any) -> None:
        raise InvalidRequest("job", "job-2, which is running", "one that waits")

    monkeypatch.setattr(services, "move", late, raising=False)
    assert "which is running" in click(queue, "front")[queue.listed]


@pytest.mark.parametrize("data", [
    None, {}, {"act": "explode", "job": "job-2"}, {"act": "show"}, {"act": "show", "job": 7},
])
def test_nonsense_is_no_crash(queue: Waiting, jobs: list[JobView], data: Any) -> None:
    updates = queue.on_click(ME, SimpleNamespace(_data=data))  # type: ignore[arg-type]
    assert "alert" in updates[queue.listed]


def test_the_clock_runs_while_something_is_in_the_queue(queue: Waiting, services: RememberingServices) -> None:
    assert not queue.on_tick(ME)[queue.timer].active
    services.put(GenerationRequest(mode="text", prompt="x"), owner=MINE.owner)
    assert queue.on_tick(ME)[queue.timer].active


def test_others_jobs_are_not_shown(queue: Waiting, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="secret"), owner="somebody else")
    assert queue.on_tick({"job": None})[queue.listed] == ""


def test_what_is_made_stays_on_the_stage_when_more_is_asked_for(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="first"), owner=MINE.owner)
    working = services.jobs_by_id["job-1"]
    services.jobs_by_id = {"job-0": replace(working, id="job-0")}
    panel = page.panels[0]
    values = [{"prompt": "second"}.get(name, getattr(one, "value", None)) for name, one in panel.fields.items()]
    updates = page.on_generate(panel)(*values)
    assert updates[page.session] == {"job": "job-0"} and "first" in updates[page.stage.card]
    assert updates[panel.generate] == "Add to the queue" and updates[page.queue_timer].active
    assert len(services.submitted) == 1
