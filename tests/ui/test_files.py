"""Results over HTTP, and the Sharing tab's handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from gradio.context import LocalContext

from tests.ui.remembering import MINE, RememberingServices
from wan_app.settings import Settings
from wan_app.sharing.gate import WHO
from wan_app.sharing.guests import Guests
from wan_app.sharing.store import Store
from wan_app.sharing.who import Who
from wan_app.types import GenerationRequest, GenerationResult
from wan_app.ui.files import Files
from wan_app.ui.sharing import SharingTab

VIDEO = b"0123456789" * 50


@pytest.fixture
def finished(services: RememberingServices, tmp_path: Path) -> Path:
    """The file of a finished job."""
    file = tmp_path / "out.mp4"
    file.write_bytes(VIDEO)
    result = GenerationResult(
        file=file, model="pocket", mode="text", seed=9, width=5, height=5, num_frames=5, fps=8, seconds=1,
    )
    request = GenerationRequest(mode="text", prompt='A "fox"\r\n../x')
    services.put(request, owner=MINE.owner, state="finished", result=result)
    return file


def ask(services: Any, who: Who, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await Files(services)({**scope, WHO: who}, receive, send)

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(inside), base_url="http://x") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asked())


def test_the_owner_gets_all_or_a_part(services: RememberingServices, finished: Path) -> None:
    whole = ask(services, MINE, "/files/job-1/any.mp4")
    assert whole.content == VIDEO and whole.headers["content-type"] == "video/mp4"
    assert whole.headers["content-disposition"] == 'inline; filename="a-fox-x-9.mp4"'
    part = ask(services, MINE, "/files/job-1/any.mp4", range="bytes=10-19")
    assert part.status_code == 206 and part.content == VIDEO[10:20]
    assert part.headers["content-range"] == "bytes 10-19/500"
    assert ask(services, MINE, "/files/job-1/any.mp4", range="bytes=900-").status_code == 416
    assert ask(services, MINE, "/files/job-1/x?download").headers["content-disposition"].startswith("attachment")
    head = ask(services, MINE, "/files/job-1/x", "HEAD")
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == "500"


@pytest.mark.parametrize("path", ["/files/job-2/x", "/files/", "/files/..%2fjob-1/y", "/files/../job-1"])
def test_other_jobs_are_not_there(services: RememberingServices, finished: Path, path: str) -> None:
    assert ask(services, MINE, path).status_code == 404


def test_nobody_else_gets_it_and_nobody_writes_it(services: RememberingServices, finished: Path) -> None:
    assert ask(services, Who("guest", "guest:1"), "/files/job-1/x").status_code == 404
    assert ask(services, MINE, "/files/job-1/x", "POST").status_code == 405
    finished.unlink()
    assert ask(services, MINE, "/files/job-1/x").status_code == 404


# --- the tab ------------------------------------------------------------------------------------


@pytest.fixture
def tab(tmp_path: Path) -> SharingTab:
    guests = Guests(Store(tmp_path / "sharing.sqlite3"))
    names = ("me", "tab", "told", "table", "make", "open_links", "revoke")
    fields = {name: name for name in ("label", "days", "jobs", "seconds", "places")}
    return SharingTab(
        services=SimpleNamespace(guests=guests, revoke=guests.revoke),  # type: ignore[arg-type]
        settings=Settings(data_dir=tmp_path), fields=fields, **{name: name for name in names},
    )


def seen_at(host: str) -> None:
    """The request behind the event comes from this address of the page."""
    scope = LocalContext.request.get().request.scope  # type: ignore[union-attr]
    scope |= {"headers": [(b"host", host.encode())], "scheme": "https"}


def test_a_link_is_made_for_the_address_that_one_sees(tab: SharingTab) -> None:
    seen_at("studio.example")
    told = tab.on_make("<Ann>", 7, 20, 120, 2)
    assert 'value="https://studio.example/guest/' in told["told"] and "&lt;Ann&gt;" in told["told"]
    assert "&lt;Ann&gt;" in told["table"] and "0 of 20" in told["table"]
    guest = tab.services.guests.all()[0]
    assert told["open_links"]["choices"] == [(f"<Ann> ({guest.id})", guest.id)]
    assert "opens nothing now" in tab.on_revoke(guest.id)["told"] and tab.services.guests.get(guest.id).revoked


@pytest.mark.parametrize("values", [("x", 0, 1, 1, 1), (5, "a", None, [], {}), ("x", True, 1, 1, 1)])
def test_limits_that_are_none_are_told(tab: SharingTab, values: tuple[Any, ...]) -> None:
    assert 'role="alert"' in tab.on_make(*values)["told"] and tab.services.guests.all() == []
    for junk in (None, 5, [], "nope"):
        assert 'role="alert"' in tab.on_revoke(junk)["told"]


def test_guests_see_what_they_have_left_and_no_tab(tab: SharingTab, asked_by: Callable[[Who], None]) -> None:
    guest, _ = tab.services.guests.create(jobs=3, seconds=9)
    assert tab.on_load()["tab"]["visible"] is True and tab.on_load()["me"] == ""
    asked_by(Who("owner", "local", session=True))
    assert "Sign out" in tab.on_load()["me"]
    asked_by(Who("guest", f"guest:{guest.id}", session=True))
    shown = tab.on_load()
    assert shown["tab"]["visible"] is False and "table" not in shown and "3 videos, 9 s left" in shown["me"]
    for told in (tab.on_make("Eve", 7, 1, 1, 1), tab.on_revoke(guest.id)):
        assert "owner of this studio" in told["told"] and "table" not in told
    assert tab.services.guests.get(guest.id).state == "open" and len(tab.services.guests.all()) == 1
