"""The server's patience has an end: half requests, dribbled bodies, too many connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from wan_app.errors import InvalidRequest
from wan_app.settings import Settings
from wan_app.sharing import bodies, server
from wan_app.sharing.bodies import BadBody, Body
from wan_app.sharing.server import Server

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of what was sent, or why it was not read."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    try:
        status, told = 200, str(len(await Body(receive, 1000).read()))
    except BadBody as error:
        status, told = error.status, str(error)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(told))]})
    await send({"type": "http.response.body", "body": told.encode()})


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(server, "_LOOK", 0.1)
    monkeypatch.setattr(bodies, "_PIECE", 0.5)
    one = Server(Settings(data_dir=tmp_path))
    one.start(echo)
    yield one
    one.stop()


def connected(one: Server) -> socket.socket:
    made = socket.create_connection((one.host, one.port))
    made.settimeout(8)
    return made


def test_it_answers_and_gives_the_port_back(running: Server, tmp_path: Path) -> None:
    assert httpx.post(running.url, content=b"12345").text == "5"
    assert "server" not in httpx.post(running.url).headers
    with pytest.raises(InvalidRequest, match="taken or not allowed"):
        Server(Settings(data_dir=tmp_path, port=running.port))


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD, HEAD + b"X-A: b\r\n"])
def test_half_a_head_is_not_waited_for(running: Server, sent: bytes) -> None:
    with connected(running) as one:
        one.sendall(sent)
        began = time.monotonic()
        with suppress(ConnectionResetError):
            assert one.recv(10) == b""
        assert time.monotonic() - began < 6


def test_a_head_that_dribbles_is_cut_off(running: Server) -> None:
    with connected(running) as one, pytest.raises(OSError):
        one.sendall(HEAD)
        for number in range(200):
            one.sendall(b"X-%d: a\r\n" % number)
            time.sleep(0.05)


def test_a_body_that_stops_is_answered(running: Server) -> None:
    with connected(running) as one:
        one.sendall(HEAD + b"Content-Length: 50\r\n\r\nabc")
        assert one.recv(100).startswith(b"HTTP/1.1 408")


def test_many_idle_connections_do_not_keep_others_out(running: Server) -> None:
    idle = [connected(running) for _ in range(60)]
    for one in idle:
        one.sendall(b"GET / HTTP/1.1\r\n")
    assert httpx.post(running.url, content=b"1", timeout=5).status_code == 200
    until = time.monotonic() + 6
    while sum(one.fileno() >= 0 and not _closed(one) for one in idle) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(_closed(one) for one in idle)
    for one in idle:
        one.close()


def test_one_address_has_so_many_connections(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_OF_ONE", 3)
    monkeypatch.setattr(server, "_inside", lambda address: False)
    held = [connected(running) for _ in range(3)]
    time.sleep(0.2)
    with connected(running) as one:
        assert _closed(one, wait=2)
    for one in held:
        one.close()
    time.sleep(0.3)
    assert httpx.post(running.url, content=b"1").status_code == 200, "what was closed is free again"


def test_a_body_has_a_size(running: Server) -> None:
    assert httpx.post(running.url, content=b"x" * 1001).status_code == 413


def _closed(one: socket.socket, wait: float = 0.01) -> bool:
    one.settimeout(wait)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
