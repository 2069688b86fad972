"""A guest link that is taken back takes its jobs along: from the page, the command line, and after a power cut."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import fakes
from wan_app import cli
from wan_app import services as services_module
from wan_app.errors import InvalidRequest
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import GenerationRequest

WHY = "The guest link was taken back before this job had ended"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(services_module.weights, "locate", lambda *_: None)
    return Settings(data_dir=tmp_path, device="cpu")


@pytest.fixture
def studio(settings: Settings) -> Iterator[Services]:
    one = Services(settings, worker=fakes.ScriptedWorker(), lasting=True)
    yield one
    one.close()


def ask(studio: Services, prompt: str, owner: str) -> str:
    return studio.submit(GenerationRequest(mode="text", prompt=prompt), owner=owner)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def row(studio: Services, job_id: str) -> dict[str, Any]:
    return next(job.to_json() for job in studio.jobs() if job.id == job_id)


@pytest.mark.parametrize("way", ["page", "command line"])
def test_what_runs_and_what_waits_is_cancelled_and_the_row_says_why(
    studio: Services, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    guest, other = (studio.guests.create(places=3)[0].id for _ in range(2))
    first, second = (ask(studio, "wait", f"guest:{guest}") for _ in range(2))
    until(lambda: row(studio, first)["state"] == "running")
    third = ask(studio, "quick", f"guest:{other}")
    if way == "page":
        studio.revoke(guest)
    else:
        assert cli.main(["guests", "revoke", guest, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["state"] == "revoked"
    until(lambda: not [job for job in studio.jobs() if not job.ended])
    for job_id in (first, second):
        assert row(studio, job_id) == {**row(studio, job_id), "state": "cancelled", "error": WHY, "file": None}
    assert row(studio, third)["state"] == "finished" and row(studio, third)["error"] is None
    with pytest.raises(InvalidRequest, match="revoked"):
        ask(studio, "quick", f"guest:{guest}")


def test_the_reason_outlives_the_studio(studio: Services, settings: Settings) -> None:
    """It is killed after the wish was written down, and before it was seen to."""
    guest = studio.guests.create()[0].id
    job_id = ask(studio, "wait", f"guest:{guest}")
    until(lambda: row(studio, job_id)["state"] == "running")
    studio._takeover.close()  # nobody looks any more
    assert cli.main(["guests", "revoke", guest]) == 0
    assert row(studio, job_id)["state"] == "running"
    studio.close()
    after = Services(settings, worker=fakes.ScriptedWorker(), lasting=True)
    try:
        until(lambda: row(after, job_id)["state"] == "cancelled")
        assert row(after, job_id)["error"] == WHY
    finally:
        after.close()


def test_ones_own_cancel_needs_no_reason(studio: Services) -> None:
    job_id = ask(studio, "wait", "local")
    studio.cancel(job_id)
    until(lambda: row(studio, job_id)["state"] == "cancelled")
    assert row(studio, job_id)["error"] is None
