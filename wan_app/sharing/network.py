"""What a request says about where it comes from, believed only as far as it should be."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from wan_app.errors import InvalidRequest
from wan_app.settings import Settings

# Where a proxy says whom it speaks for. Unless told to trust it, nobody behind us may see these.
_FORWARDED = (b"x-forwarded-", b"forwarded", b"x-real-ip", b"x-gradio-server", b"x-original-")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Caller:
    """Where a request comes from, and how the page is called by it. `host` has its port if one was named."""

    address: str
    scheme: str
    host: str


class Network:
    """The names of this studio and the proxies in front of it."""

    def __init__(self, settings: Settings) -> None:
        sharing = settings.sharing
        self.space = sharing.space
        self._proxies = _networks(sharing.trusted_proxies)
        # A Space is reached through the platform's proxies only.
        self._all_trusted = bool(sharing.space) or "*" in sharing.trusted_proxies
        self._given = {name.lower().rstrip(".") for name in (*sharing.hosts, *filter(None, [sharing.space]))}
        self._mine = _own_names(settings.host)
        # Names of tunnels, which speak TLS to the browser and plainly to us, from this computer.
        self._tunnels: set[str] = set()

    def add(self, address: str) -> None:
        """One more address under which the page may be opened: that of a tunnel."""
        name = (urlsplit(address).hostname or "").lower()
        self._given.add(name)
        self._tunnels.add(name)

    def caller(self, scope: Any) -> Caller:
        """Who asks; takes what forwarding headers say only from trusted proxies."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        peer = (scope.get("client") or ("", 0))[0]
        host, scheme = headers.get(b"host", ""), scope.get("scheme", "http")
        if _name_of(host) in self._tunnels and _is_loopback(peer):
            return Caller(_outermost(headers.get(b"x-forwarded-for", ""), peer, _is_inside), "https", host)
        if not self.trusts(peer):
            return Caller(peer, scheme, host)
        said = headers.get(b"x-forwarded-proto", "").partition(",")[0].strip().lower()
        host = headers.get(b"x-forwarded-host", host).partition(",")[0].strip()
        # Hops inside a platform have private addresses.
        inner = _is_inside if self._all_trusted else lambda one: _within(one, self._proxies)
        address = _outermost(headers.get(b"x-forwarded-for", ""), peer, inner)
        return Caller(address, said if said in _PORTS else scheme, host)

    def trusts(self, peer: str) -> bool:
        """Whether this neighbour is a proxy that may speak for others."""
        return self._all_trusted or _within(peer, self._proxies)

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this studio. A name we do not know may be another page's, turned
        to our address (DNS rebinding); bare addresses can't be turned."""
        name = _name_of(host)
        if self.space or _is_address(name):
            return True
        return name in self._given or name in self._mine or name.endswith(".localhost")

    def is_own_page(self, origin: str, caller: Caller) -> bool:
        """Whether an Origin header is that of our own page: other ports of this computer are others' pages."""
        parsed = _split(origin)
        if parsed is None:
            return False
        scheme, name, port = parsed
        asked = _split(f"{scheme}://{caller.host}")
        return asked == parsed or name in self._given


def without_forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers without those by which a proxy speaks for others."""
    return [(name, value) for name, value in headers if not name.startswith(_FORWARDED)]


def _own_names(host: str) -> set[str]:
    names = {"localhost", host}
    if host not in ("127.0.0.1", "localhost", "::1"):
        mine = socket.gethostname()
        names |= {mine, f"{mine.partition('.')[0]}.local"}
    return {name.lower() for name in names}


def _networks(texts: Iterable[str]) -> list[Any]:
    try:
        return [ipaddress.ip_network(text, strict=False) for text in texts if text != "*"]
    except ValueError as error:
        raise InvalidRequest("trusted_proxies", repr(",".join(texts))[:60], "addresses or networks, or *") from error


def _within(address: str, networks: list[Any]) -> bool:
    if not networks or not _is_address(address):
        return False
    return any(ipaddress.ip_address(address) in network for network in networks)


def _outermost(forwarded: str, peer: str, inner: Callable[[str], bool]) -> str:
    """The address nearest to us that is none of our proxies: those before it can be invented."""
    names = [_bare(part.strip()) for part in forwarded.split(",")]
    known = [name for name in reversed(names) if _is_address(name)]
    # In a network of one's own everybody may look like a proxy: then the last that was added counts.
    return next((name for name in known if not inner(name)), known[0] if known else peer)


def _bare(address: str) -> str:
    """Without its port."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _is_inside(address: str) -> bool:
    return ipaddress.ip_address(address).is_private


def _is_loopback(address: str) -> bool:
    return _is_address(address) and ipaddress.ip_address(address).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(host: str) -> str:
    parsed = _split(f"http://{host}")
    return parsed[1] if parsed else ""


def _split(address: str) -> tuple[str, str, int] | None:
    """(scheme, name, port) of an origin; None for what is none."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path or parts.query or parts.username:
        return None
    return parts.scheme, parts.hostname.lower().rstrip("."), port or _PORTS[parts.scheme]
