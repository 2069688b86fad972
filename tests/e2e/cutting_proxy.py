"""A TCP proxy between a browser and the studio, whose line can be cut, and mended again."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.e2e.local_proxy import LocalProxy

# Close by a reset, as a network that is gone does, and not by a polite end.
_RESET = struct.pack("ii", 1, 0)


class CuttingProxy(LocalProxy):
    """Passes everything on to `port`, until it is told to cut."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut = False
        self._trap: tuple[bytes, int, Callable[[], None]] | None = None
        super().__init__(port)

    def cut(self) -> None:
        """Reset every connection, and every new one until `mend`."""
        with self._lock:
            self._cut = True
            gone, self._open = self._open, set()
        for one in gone:
            _reset(one)

    def mend(self) -> None:
        """Pass on again."""
        self._cut = False

    def cut_at(self, words: bytes, *, after: int, then: Callable[[], None] = lambda: None) -> None:
        """Cut by itself when the browser sends `words`: the request goes on to the server, and of its answer
        `after` bytes come back."""
        self._trap = (words, after, then)

    def close(self) -> None:
        """No more connections."""
        self.cut()
        super().close()

    def _pass(self, client: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._lock:
                if not self._cut:
                    self._open |= {client, server}
            if self._cut:
                _reset(client)
                return
            state = _Line()
            back = threading.Thread(target=self._back, args=(server, client, state), daemon=True)
            back.start()
            self._forth(client, server, state)
            back.join()
        with self._lock:
            self._open -= {client}
        client.close()

    def _forth(self, client: socket.socket, server: socket.socket, state: _Line) -> None:
        """What the browser sends."""
        with suppress(OSError):
            while piece := client.recv(65_536):
                trap = self._trap
                if trap and trap[0] in piece:
                    self._trap, state.left, state.then = None, trap[1], trap[2]
                server.sendall(piece)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket, state: _Line) -> None:
        """What the studio answers."""
        with suppress(OSError):
            while piece := server.recv(65_536):
                if state.left is not None and len(piece) >= state.left:
                    client.sendall(piece[: state.left])
                    self.cut()
                    state.then()
                    return
                if state.left is not None:
                    state.left -= len(piece)
                client.sendall(piece)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)


class _Line:
    """One connection: how many bytes of the answer are still let through before it is cut."""

    left: int | None = None

    def then(self) -> None:
        """What the test wants done at that moment."""


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        one.close()
