"""Hosts, origins and forwarding headers: believed only as far as told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wan_app.errors import InvalidRequest
from wan_app.settings import Settings, Sharing
from wan_app.sharing.network import Caller, Network, without_forwarded

FORWARDED = {"x-forwarded-for": "6.6.6.6, 8.8.8.8", "x-forwarded-proto": "https", "x-forwarded-host": "s.example"}


def network(tmp_path: Path, host: str = "127.0.0.1", **sharing: Any) -> Network:
    return Network(Settings(data_dir=tmp_path, host=host, sharing=Sharing(**sharing)))


def scope(peer: str, **headers: str) -> dict[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in ({"host": "localhost:7860"} | headers).items()]
    return {"client": (peer, 1234), "scheme": "http", "headers": raw}


def test_nobody_is_believed_unless_told(tmp_path: Path) -> None:
    caller = network(tmp_path).caller(scope("127.0.0.1", **FORWARDED))
    assert caller == Caller("127.0.0.1", "http", "localhost:7860")


def test_a_trusted_proxy_speaks_for_others_up_to_itself(tmp_path: Path) -> None:
    trusting = network(tmp_path, trusted_proxies=("10.0.0.0/8",))
    assert trusting.caller(scope("10.1.2.3", **FORWARDED)) == Caller("8.8.8.8", "https", "s.example")
    assert trusting.caller(scope("192.168.1.1", **FORWARDED)).address == "192.168.1.1"
    hops = {**FORWARDED, "x-forwarded-for": "1.1.1.1, 8.8.8.8, 10.4.4.4"}
    assert trusting.caller(scope("10.1.2.3", **hops)).address == "8.8.8.8", "what was invented is further left"
    nonsense = {"x-forwarded-for": "unknown, <script>", "x-forwarded-proto": "gopher"}
    assert trusting.caller(scope("10.1.2.3", **nonsense)) == Caller("10.1.2.3", "http", "localhost:7860")


def test_addresses_with_ports_are_addresses(tmp_path: Path) -> None:
    trusting = network(tmp_path, trusted_proxies=("*",))
    for said, meant in (("8.8.8.8:443", "8.8.8.8"), ("[2606:4700::1]:443", "2606:4700::1")):
        assert trusting.caller(scope("10.0.0.1", **{"x-forwarded-for": said})).address == meant


@pytest.mark.parametrize(("host", "ours"), [
    ("localhost:7860", True), ("127.0.0.1:7860", True), ("[::1]:7860", True), ("192.168.1.20:7860", True),
    ("studio.localhost", True), ("evil.example", False), ("localhost.evil.example", False), ("", False),
    ("127.0.0.1.nip.io", False), ("a b", False), ("localhost:99999999", False), ("x@localhost", False),
])
def test_other_names_than_ours_are_refused(tmp_path: Path, host: str, ours: bool) -> None:
    assert network(tmp_path).is_ours(host) is ours


def test_names_can_be_allowed(tmp_path: Path) -> None:
    named = network(tmp_path, hosts=("Studio.Example",))
    assert named.is_ours("studio.example:8443") and not named.is_ours("other.example")
    named.add("https://abc.gradio.live/")
    assert named.is_ours("abc.gradio.live")


@pytest.mark.parametrize(("origin", "own"), [
    ("http://localhost:7860", True), ("http://localhost:7861", False), ("http://localhost", False), ("null", False),
    ("https://evil.example", False), ("http://localhost:7860.evil.example", False), ("file://", False), ("x", False),
    ("http://user@localhost:7860", False), ("http://localhost:7860/path", False),
])
def test_only_the_own_page_may_ask(tmp_path: Path, origin: str, own: bool) -> None:
    assert network(tmp_path).is_own_page(origin, Caller("127.0.0.1", "http", "localhost:7860")) is own


def test_ports_may_go_unsaid_and_a_proxy_may_hide_the_name(tmp_path: Path) -> None:
    named = network(tmp_path, hosts=("s.example",))
    assert named.is_own_page("https://s.example", Caller("1.1.1.1", "https", "s.example"))
    assert named.is_own_page("https://s.example:443", Caller("1.1.1.1", "https", "s.example"))
    assert named.is_own_page("https://s.example", Caller("127.0.0.1", "http", "127.0.0.1:7860"))


def test_a_tunnel_is_known_by_its_name_from_this_computer_only(tmp_path: Path) -> None:
    shared = network(tmp_path, share=True)
    shared.add("https://abc.gradio.live/")
    said = {"host": "abc.gradio.live", "x-forwarded-for": "8.8.8.8, 10.0.0.3"}
    assert shared.caller(scope("127.0.0.1", **said)) == Caller("8.8.8.8", "https", "abc.gradio.live")
    assert shared.caller(scope("192.168.1.7", **said)) == Caller("192.168.1.7", "http", "abc.gradio.live")


def test_what_proxies_say_reaches_nobody_behind_us() -> None:
    headers = [(name.encode(), b"x") for name in (*FORWARDED, "forwarded", "x-real-ip", "x-gradio-server", "accept")]
    assert without_forwarded(headers) == [(b"accept", b"x")]


def test_a_proxy_that_is_no_address_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="trusted_proxies"):
        network(tmp_path, trusted_proxies=("my-proxy",))
