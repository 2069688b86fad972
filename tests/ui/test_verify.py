"""The Verify tab: its handlers over checks that only remember, and the answer as HTML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.ui.remembering import MINE, RememberingServices
from wan_app.errors import InvalidRequest, JobNotFound
from wan_app.media.marks.findings import CredentialsFound, FileFound, Findings, Kept, MarkFound
from wan_app.media.marks.verify import Verification, concluded
from wan_app.runtime.checks import CheckView
from wan_app.sharing.who import Who
from wan_app.types import GenerationRequest, GenerationResult
from wan_app.ui import verdict
from wan_app.ui.handlers import Page
from wan_app.ui.verify import Verifying, own_results

ID = "00aa11bb22"
EVIL = "<script>alert('x')</script>\"'&"


def answer(**found: Any) -> Verification:
    given: dict[str, Any] = {
        "file": FileFound(kind="MP4", width=64, height=64, seconds=2, sound=True),
        "picture": MarkFound(state="ours", id=ID, strength=15.0, places=(1, 1)),
        "sound": MarkFound(state="none", strength=3.0), "credentials": CredentialsFound(state="none"),
        "kept": (Kept(id=ID, created="2026-11-22T10:00:00Z"),),
    }
    return concluded("a.mp4", Findings(**{**given, **found}), 1.5)


class RememberingChecks:
    """As `Checking`, with the one check that the test puts."""

    def __init__(self) -> None:
        self.one = CheckView(id="check-1", owner=MINE.owner)
        self.asked: list[tuple[Path, str, str]] = []
        self.stopped: list[str] = []

    def start(self, path: Path, *, name: str = "", owner: str) -> CheckView:
        """Remembered."""
        self.asked.append((path, name, owner))
        return self.one

    def view(self, check_id: Any, *, owner: str) -> CheckView:
        """The one, to its owner."""
        if check_id != self.one.id or owner != self.one.owner:
            raise JobNotFound("check: got one that is not known here")
        return self.one

    def before(self, check_id: str) -> int:
        """None."""
        return 0

    def cancel(self, check_id: Any, *, owner: str) -> None:
        """Remembered."""
        self.stopped.append(self.view(check_id, owner=owner).id)


@pytest.fixture
def checks(services: RememberingServices) -> RememberingChecks:
    services.checks = RememberingChecks()  # type: ignore[attr-defined]
    return services.checks  # type: ignore[attr-defined]


@pytest.fixture
def tab(services: RememberingServices, checks: RememberingChecks) -> Verifying:
    names = ("tab", "file", "job", "check", "stop", "shown", "checked", "timer")
    return Verifying(services=services, **{name: name for name in names})  # type: ignore[arg-type]


@pytest.fixture
def upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A file as the browser posts it."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / "x.mp4").write_bytes(b"film")
    return {"path": str(tmp_path / "x.mp4"), "orig_name": "holiday.mp4"}


def made(services: RememberingServices, tmp_path: Path, prompt: str = "a fox") -> None:
    (tmp_path / "out.mp4").write_bytes(b"film")
    result = GenerationResult(
        file=tmp_path / "out.mp4", model="pocket", mode="text", seed=1, width=8, height=8, num_frames=1, fps=1,
        seconds=1,
    )
    services.put(GenerationRequest(mode="text", prompt=prompt), owner=MINE.owner, state="finished", result=result)


def test_a_file_is_checked_under_its_own_name(
    tab: Verifying, checks: RememberingChecks, upload: dict[str, Any]
) -> None:
    updates = tab.on_check(upload, None)
    assert checks.asked == [(Path(upload["path"]).resolve(), "holiday.mp4", MINE.owner)]
    assert updates["checked"] == {"check": "check-1"} and updates["timer"].active and "running" in updates["shown"]
    assert updates["stop"]["visible"] and set(updates) <= set(tab.outputs())


def test_a_result_of_ones_own_is_checked(
    tab: Verifying, checks: RememberingChecks, services: RememberingServices, tmp_path: Path
) -> None:
    made(services, tmp_path)
    tab.on_check(None, "job-1")
    assert checks.asked[0][0] == tmp_path / "out.mp4"


@pytest.mark.parametrize(("file", "job"), [
    (None, None), ("", ""), ({"path": "/etc/passwd"}, None), ({"path": 5}, None), (["x"], None), (None, "job-9"),
    (None, ["x"]), (None, {"a": 1}), ({"path": "https://example.org/a.mp4"}, None),
])
def test_what_is_none_of_ones_own_is_refused(
    tab: Verifying, checks: RememberingChecks, upload: dict[str, Any], file: Any, job: Any
) -> None:
    updates = tab.on_check(file, job)
    assert 'role="alert"' in updates["shown"] and not updates["timer"].active and checks.asked == []


def test_a_job_without_a_result_is_refused(
    tab: Verifying, checks: RememberingChecks, services: RememberingServices
) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    assert 'role="alert"' in tab.on_check(None, "job-1")["shown"] and checks.asked == []


def test_a_tick_shows_how_far_it_is_and_then_the_answer(tab: Verifying, checks: RememberingChecks) -> None:
    known = {"check": "check-1"}
    checks.one = replace(checks.one, state="running", found=("file", "credentials"))
    assert list(tab.on_tick(known)) == ["shown"] and "Listening for a mark" in tab.on_tick(known)["shown"]
    checks.one = replace(checks.one, state="finished", answer=answer())
    updates = tab.on_tick(known)
    assert 'data-verdict="here"' in updates["shown"] and not updates["timer"].active
    checks.one = replace(checks.one, state="failed", error=InvalidRequest("file", "text", "a video"))
    assert "Got text; needed a video." in tab.on_tick(known)["shown"]
    checks.one = replace(checks.one, state="cancelled")
    assert "Stopped." in tab.on_tick(known)["shown"]


def test_stop_and_reload(tab: Verifying, checks: RememberingChecks) -> None:
    known = {"check": "check-1"}
    assert tab.on_load(known)["timer"].active
    assert not tab.on_stop(known)["timer"].active and checks.stopped == ["check-1"]
    for nothing in (None, {}, {"check": 5}, {"check": "gone"}, "x"):
        assert tab.on_load(nothing) == {"checked": None}


def test_nobody_sees_a_check_of_another(
    tab: Verifying, checks: RememberingChecks, asked_by: Callable[[Who], None]
) -> None:
    asked_by(Who("visitor", "visitor:somebody"))
    known = {"check": "check-1"}
    assert 'role="alert"' in tab.on_tick(known)["shown"] and tab.on_load(known) == {"checked": None}
    tab.on_stop(known)
    assert checks.stopped == []


def test_results_are_offered_newest_first(tab: Verifying, services: RememberingServices, tmp_path: Path) -> None:
    made(services, tmp_path, prompt="a  fox " * 30)
    [(words, job)] = own_results(services.jobs(owner=MINE.owner))
    assert job == "job-1" and words.startswith("a fox a fox") and "…" in words
    (tmp_path / "out.mp4").unlink()
    assert own_results(services.jobs(owner=MINE.owner)) == []
    assert tab.on_open()["choices"] == []


@pytest.mark.parametrize(("found", "kind"), [
    ({}, "here"), ({"picture": MarkFound(state="other")}, "other"),
    ({"picture": MarkFound(state="unreadable")}, "worn"), ({"picture": MarkFound(state="none")}, "none"),
    ({"kept": (Kept(id=ID, sound_bound=ID[2:]),)}, "mixed"),
    ({"picture": MarkFound(state="ours", id=ID, places=(1, 8))}, "mixed"),
])
def test_every_verdict_has_its_look(found: dict[str, Any], kind: str) -> None:
    shown = verdict.answer(answer(**found))
    assert f'data-verdict="{kind}"' in shown and shown.count("<details>") == 2 and "<details open" not in shown


def test_nothing_that_a_file_says_becomes_html() -> None:
    stated = dict.fromkeys(("id", "signer", "created", "app", "model", "consent_id"), EVIL)
    evil = answer(
        file=FileFound(kind=EVIL, width=1), kept=(Kept(id=EVIL, created=EVIL, model=EVIL, mode=EVIL, file=EVIL),),
        picture=MarkFound(state="ours", id=EVIL, others=(EVIL,), strength=9.0, places=(1, 1), remark=EVIL),
        sound=MarkFound(state="ours", id=EVIL, strength=9.0, remark=EVIL),
        credentials=CredentialsFound(state="invalid", reasons=(EVIL,), remark=EVIL, by_ai=True, **stated),
    )
    evil = replace(evil, file=EVIL, consent={
        "id": EVIL, "state": "valid", "stated": EVIL, "until": EVIL, "owner": EVIL, "statement": EVIL,
        "people": [{"name": EVIL, "faces": [EVIL], "voice": EVIL}],
    })
    for shown in (
        verdict.answer(evil), verdict.answer(replace(evil, consent={"state": "unknown", "remark": EVIL})),
        verdict.idle(EVIL), verdict.running((EVIL,), 0),
    ):
        assert "<script" not in shown and EVIL not in shown and "alert('x')" not in shown


def test_the_statement_of_consent_is_told(tmp_path: Path) -> None:
    record = {
        "id": "c0ffee", "state": "withdrawn", "stated": "2026-11-20T10:00:00", "until": "2027-11-20T10:00:00",
        "owner": "local", "statement": "everyone agrees", "people": [{"name": "ann", "faces": [], "voice": None}],
    }
    shown = verdict.answer(replace(answer(), consent=record))
    assert "stated on 2026-11-20 for ann. It was withdrawn since." in shown and "everyone agrees" in shown


def test_waiting_says_how_many_come_before() -> None:
    assert "Waiting, 2 before you" in verdict.running((), 2)


def test_nothing_but_tabs_stands_among_the_tabs(page: Page) -> None:
    """Gradio counts the neighbours: another component there showed the tab after it twice."""
    assert {type(child) for child in page.tabs.children} == {gr.Tab}
