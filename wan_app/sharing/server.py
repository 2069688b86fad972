"""The HTTP server: a port, a thread, and connections that can't be held open by sending nothing."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections import Counter
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wan_app.errors import InvalidRequest
from wan_app.settings import Settings

PORTS = range(7860, 7960)
# Seconds in which the head of a request must be here, or the next request begin.
HEAD_SECONDS = 10.0
# Connections of one address. A page has some six; a proxy or a tunnel has those of all its visitors.
MOST_OF_ONE, MOST = 128, 800
_LOOK = 2.0
log = logging.getLogger(__name__)


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1, which ends connections that dawdle, and takes no more than so many of one address.

    Uvicorn itself limits the time between requests, but not that for the head of one.
    """

    open_of: Counter[str] = Counter()
    proxied: bool = False
    _idle_since: float | None
    _watch: asyncio.TimerHandle | None = None
    _counted = ""

    def connection_made(self, transport: Any) -> None:
        """As in asyncio.Protocol."""
        super().connection_made(transport)
        self._counted = self.client[0] if self.client else "?"
        self.open_of[self._counted] += 1
        many = self.open_of[self._counted] > MOST_OF_ONE and not self.proxied and not _inside(self._counted)
        if many or self.open_of.total() > MOST:
            log.warning("too many connections", extra={"address": self._counted, "reason": "connections"})
            transport.abort()
            return
        self._idle_since = time.monotonic()
        self._watch = self.loop.call_later(_LOOK, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """As in asyncio.Protocol."""
        if self._watch:
            self._watch.cancel()
        self.open_of[self._counted] -= 1
        if self.open_of[self._counted] <= 0:
            del self.open_of[self._counted]
        super().connection_lost(exc)

    def _look(self) -> None:
        busy = self.cycle is not None and not self.cycle.response_complete
        now = time.monotonic()
        if busy:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > HEAD_SECONDS:
            self.transport.abort()
            return
        self._watch = self.loop.call_later(_LOOK, self._look)

    def on_response_complete(self) -> None:
        """As in uvicorn: from here the next request's time runs."""
        self._idle_since = time.monotonic()
        super().on_response_complete()


class Server:
    """An ASGI application on a port, in a thread of its own. The port is taken before anything is begun.

    Raises:
        InvalidRequest: the port is taken, or not allowed.
    """

    def __init__(self, settings: Settings) -> None:
        self._socket = _bound(settings)
        proxied = bool(settings.sharing.trusted_proxies or settings.sharing.space)
        protocol = type("Protocol", (PatientProtocol,), {"open_of": Counter(), "proxied": proxied})
        # What is forwarded is judged by the gate, and every answer is logged by it.
        self._config: dict[str, Any] = {
            "http": protocol, "ws": "none", "log_level": "warning", "access_log": False, "proxy_headers": False,
            "server_header": False, "timeout_keep_alive": 5, "timeout_graceful_shutdown": 3, "lifespan": "on",
            "h11_max_incomplete_event_size": 32_768,
        }
        self.host, self.port = settings.host, self._socket.getsockname()[1]
        self._server: _Threaded | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers on this computer."""
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{name}]' if ':' in name and not name.startswith('[') else name}:{self.port}/"

    @property
    def reachable(self) -> str:
        """Where it answers from other computers of the network, if from any."""
        return self.url if self.host not in ("0.0.0.0", "::") else f"http://{_own_address()}:{self.port}/"

    def start(self, app: Any) -> None:
        """Returns when it answers. Raises RuntimeError when the application does not come up."""
        self._server = server = _Threaded(uvicorn.Config(app, **self._config))
        self._thread = thread = threading.Thread(
            target=server.run, kwargs={"sockets": [self._socket]}, name="http", daemon=True
        )
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("The HTTP server ended while it started")
            time.sleep(0.005)

    def stop(self) -> None:
        """Let running answers end for three seconds, then close."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(timeout=8)
        self._socket.close()


class _Threaded(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals are the main thread's."""


def _bound(settings: Settings) -> socket.socket:
    """A listening socket on the wanted port, or on the first free one. Raises InvalidRequest."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = [settings.port] if settings.port is not None else PORTS
    for port in ports:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host, port))
            made.listen(512)
            return made
        except (OSError, OverflowError) as error:
            made.close()
            failed = error
    raise InvalidRequest(
        "port", f"{settings.host}:{settings.port or '7860 to 7959'}, taken or not allowed", "a free one (--port)"
    ) from failed


def _own_address() -> str:
    """This computer's address in its network; connecting by UDP sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _inside(address: str) -> bool:
    """This computer: the tunnel of a share link comes from here, with all its visitors."""
    return address in ("127.0.0.1", "::1")
