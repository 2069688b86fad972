"""What reaches Gradio, and what of it reaches whom."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from wan_app.sharing.bodies import BadBody, Body
from wan_app.sharing.gate import WHO
from wan_app.sharing.who import Who
from wan_app.ui.belongings import Belongings
from wan_app.ui.bodies import Endpoint, Endpoints, checked_body, files_in, parsed
from wan_app.ui.faults import REFUSED
from wan_app.ui.guard import Guard

ANN, BEN = Who("guest", "guest:a"), Who("guest", "guest:b")
PNG = b"\x89PNG\r\n\x1a\n0000"
META = {"_type": "gradio.FileData"}
ENDPOINTS = Endpoints([
    Endpoint(3, 2), Endpoint(4, 1, "submit", queued=True, fields=(("mode", ...), ("seed", None))),
])


class Gradio:
    """In its place; answers what the test wants."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.seen: list[tuple[str, Any]] = []
        self.fails: Exception | None = None
        self.refuses = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.fails:
            raise self.fails
        message = await receive() if scope["method"] == "POST" else {}
        self.seen.append((scope["path"], message.get("body", b"")))
        if self.refuses:
            scope[REFUSED] = True
        status, body = self.answer
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Room:
    """A guard before it, and people who ask."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.public, self.gradio = folder / "cache", folder / "examples", Gradio()
        for one in (self.cache / "1", self.public):
            one.mkdir(parents=True)
        self.guard = Guard(
            self.gradio, endpoints=ENDPOINTS, belongings=Belongings(), cache=self.cache, public=self.public
        )

    def ask(self, who: Who, method: str, path: str, **rest: Any) -> httpx.Response:
        """One request of somebody's."""
        async def inside(scope: Any, receive: Any, send: Any) -> None:
            await self.guard({**scope, WHO: who}, Body(receive, 10_000), send)

        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(inside), base_url="http://x") as client:
                return await client.request(method, path, **rest)

        return asyncio.run(asked())

    def upload(self, who: Who, name: str, content: bytes) -> tuple[httpx.Response, Path]:
        """Gradio has written a file; what the guard makes of it."""
        path = self.cache / "1" / name
        path.write_bytes(content)
        self.gradio.answer = (200, json.dumps([str(path)]).encode())
        return self.ask(who, "POST", "/gradio_api/upload", content=b"x"), path


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_an_upload_is_its_senders(room: Room) -> None:
    answer, path = room.upload(ANN, "a.png", PNG)
    assert answer.json() == [str(path)]
    assert room.ask(ANN, "GET", f"/gradio_api/file={path}").status_code == 200
    assert room.gradio.seen[-1][0] == f"/gradio_api/file={path}"
    assert room.ask(BEN, "GET", f"/gradio_api/file={path}").status_code == 404


def test_what_is_neither_picture_nor_sound_is_thrown_away(room: Room) -> None:
    answer, path = room.upload(ANN, "liar.png", b"#!/bin/sh")
    assert answer.status_code == 415 and not path.exists()


@pytest.mark.parametrize(("error", "code"), [(TypeError("x"), 400), (KeyError("x"), 400), (OSError(28, "x"), 507)])
def test_an_upload_that_fails_inside_is_told(room: Room, error: Exception, code: int) -> None:
    room.gradio.fails = error
    assert room.ask(ANN, "POST", "/gradio_api/upload", content=b"x").status_code == code


def test_examples_are_for_everybody_and_nothing_else_is(room: Room, tmp_path: Path) -> None:
    for name in (room.public / "sun.mp4", room.cache / "1" / "x.png", tmp_path / "ledger"):
        name.write_bytes(b"x")
    assert room.ask(ANN, "GET", f"/gradio_api/file={room.public}/sun.mp4").status_code == 200
    for path in (f"{room.public}/../ledger", f"{room.cache}/1/x.png", tmp_path / "ledger", "relative", "", "/"):
        assert room.ask(ANN, "GET", f"/gradio_api/file={path}").status_code == 404
    (room.public / "link").symlink_to(tmp_path / "ledger")
    assert room.ask(ANN, "GET", f"/gradio_api/file={room.public}/link").status_code == 404


def test_what_an_event_hands_out_may_be_fetched_by_its_caller(room: Room) -> None:
    path = room.cache / "1" / "out.png"
    path.write_bytes(PNG)
    body = json.dumps({"data": [{"path": str(path), "meta": META}]}).encode()
    for answer in (body, b"event: complete\ndata: " + body + b"\n\n"):
        room.gradio.answer = (200, answer)
        room.ask(ANN, "POST", "/gradio_api/run/predict", json={"fn_index": 3, "data": [1, 2]})
        assert room.ask(ANN, "GET", f"/gradio_api/file={path}").status_code == 200
        assert room.ask(BEN, "GET", f"/gradio_api/file={path}").status_code == 404


def test_an_echo_does_not_make_a_file_ones_own(room: Room) -> None:
    _, path = room.upload(ANN, "a.png", PNG)
    given = {"fn_index": 3, "data": [{"path": str(path), "meta": META}, 0]}
    answer = room.ask(BEN, "POST", "/gradio_api/run/predict", json=given)
    assert answer.status_code == 400 and room.ask(BEN, "GET", f"/gradio_api/file={path}").status_code == 404


def test_a_call_is_listened_to_by_its_caller(room: Room) -> None:
    room.gradio.answer = (200, b'{"event_id": "abc123"}')
    assert room.ask(ANN, "POST", "/gradio_api/call/submit", json={"data": ["text"]}).status_code == 200
    for who, code in ((ANN, 200), (BEN, 404)):
        assert room.ask(who, "GET", "/gradio_api/call/submit/abc123").status_code == code
        given = {"event_id": "abc123", "session_hash": "s", "fn_index": 4}
        assert room.ask(who, "POST", "/gradio_api/cancel", json=given).status_code == code


def test_a_call_under_a_key_is_made_once(room: Room) -> None:
    given, key = {"fn_index": 3, "data": [1, 2]}, {"Idempotency-Key": "7"}
    room.gradio.answer = (200, b'{"data": ["made"]}')
    answers = [room.ask(ANN, "POST", "/gradio_api/run/predict", json=given, headers=key) for _ in range(2)]
    assert len(room.gradio.seen) == 1 and {one.text for one in answers} == {'{"data": ["made"]}'}
    room.ask(BEN, "POST", "/gradio_api/run/predict", json=given, headers=key)
    room.ask(ANN, "POST", "/gradio_api/run/predict", json={**given, "data": [1, 3]}, headers=key)
    for _ in range(2):
        room.ask(ANN, "POST", "/gradio_api/run/predict", json=given)
    assert len(room.gradio.seen) == 5


def test_what_gradio_refuses_is_no_fault_of_ours(room: Room) -> None:
    room.gradio.answer, room.gradio.refuses = (500, b'{"error": "x"}'), True
    given = {"fn_index": 3, "data": [1, 2]}
    assert room.ask(ANN, "POST", "/gradio_api/run/predict", json=given).status_code == 422
    room.gradio.refuses = False
    assert room.ask(ANN, "POST", "/gradio_api/run/predict", json=given).status_code == 500


@pytest.mark.parametrize("path", [
    "/monitoring", "/gradio_api/dev/reload", "/gradio_api/proxy=https://x.hf.space/", "/gradio_api/vibe-code",
    "/gradio_api/stream/a/b/1/playlist.m3u8", "/gradio_api/component_server", "/gradio_api/deep_link", "/login_check",
    "/gradio_api/runs", "/gradio_api/custom_component/a/client/b/c", "/assets/" + "x" * 300, "/gradio_api/token",
])
def test_routes_that_nobody_needs_are_closed(room: Room, path: str) -> None:
    assert room.ask(ANN, "GET", path).status_code == room.ask(ANN, "POST", path, json={}).status_code == 404
    assert room.gradio.seen == []


# --- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "status"), [
    (b"", 400), (b"[1]", 422), (b"{", 400), (b'{"a": NaN}', 400), (b'{"a": Infinity}', 400), (b"\xff", 400),
    (b"[" * 100_000, 400), (b'{"a": ' + b"[" * 30 + b"]" * 30 + b"}", 413),
    (b'{"a": [' + b"0," * 10_000 + b"0]}", 413),
])
def test_what_is_no_json_object_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(BadBody) as caught:
        parsed(data)
    assert caught.value.status == status


def test_half_characters_and_addresses_are_taken_out() -> None:
    given = {"data": ["\ud800x", {"path": "/c/a.png", "url": "http://evil", "meta": META}]}
    text, file = parsed(json.dumps(given).encode())["data"]
    assert text == "\ufffdx" and "url" not in file and list(files_in([file])) == ["/c/a.png"]


@pytest.mark.parametrize(("given", "path", "name", "status"), [
    ({"fn_index": 99, "data": []}, "/run/predict", "predict", 404), ({"data": []}, "/run/predict", "predict", 404),
    ({"fn_index": True, "data": [1]}, "/run/predict", "predict", 404),
    ({"fn_index": 3, "data": [1]}, "/run/predict", "predict", 422), ({"fn_index": 3}, "/run/predict", "predict", 422),
    ({"fn_index": 4, "data": [1]}, "/run/predict", "predict", 404), ({"data": [1]}, "/call/nope", "nope", 404),
    ({"fn_index": 3, "data": [1, 2], "session_hash": 5}, "/run/predict", "predict", 422),
    ({"fn_index": 3, "data": [1, 2], "session_hash": "a/b"}, "/run/predict", "predict", 422),
    ({"fn_index": 3, "data": [1, 2]}, "/queue/join", "", 422), ({}, "/call/v2/submit", "submit", 422),
    ({"mode": "text", "evil": 1}, "/call/v2/submit", "submit", 422),
])
def test_a_call_that_does_not_fit_is_told_why(given: Any, path: str, name: str, status: int) -> None:
    with pytest.raises(BadBody) as caught:
        checked_body(given, ENDPOINTS, path=f"/gradio_api{path}", name=name)
    assert caught.value.status == status


def test_only_what_is_needed_is_passed_on() -> None:
    given = {"fn_index": 3, "data": [1, 2], "session_hash": "s", "batched": True, "oauth_token": "x", "event_id": "e",
             "trigger_id": "x", "simple_format": True}
    body = checked_body(given, ENDPOINTS, path="/gradio_api/run/predict", name="predict")
    assert body == {"fn_index": 3, "data": [1, 2], "session_hash": "s", "event_data": None, "trigger_id": None}
    assert checked_body({"mode": "x"}, ENDPOINTS, path="/gradio_api/call/v2/submit", name="submit") == {"mode": "x"}


def test_belongings_have_an_end() -> None:
    kept = Belongings(most=3)
    for name in "abcd":
        kept.give("me", name)
        kept.claim("me", name)
    assert not kept.has("me", "a") and kept.has("me", "d") and not kept.has("you", "d")
    assert kept.claim("you", "a") and not kept.claim("you", "d") and kept.claimed("me", "d")
