"""What the proxies between a browser and the studio share: a port of their own, and a thread a connection."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class LocalProxy:
    """Listens on a port of its own and hands every connection to `_pass`; `port` is the studio's."""

    def __init__(self, port: int, root: str = "") -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{root}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        raise NotImplementedError
