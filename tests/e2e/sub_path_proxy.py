"""A proxy that shows a server below a sub-path, as nginx with and without a slash at the end of proxy_pass."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.e2e.local_proxy import LocalProxy


class SubPathProxy(LocalProxy):
    """`strips`: the server sees paths without the sub-path."""

    def __init__(self, port: int, root: str, *, strips: bool) -> None:
        self._root, self._strips = root.encode(), strips
        super().__init__(port, root)

    def _pass(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65_536)
                if not piece:
                    return
                head += piece
            line, _, rest = head.partition(b"\r\n")
            method, path, version = line.split(b" ")
            if not path.startswith(self._root):
                client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            path = path[len(self._root):] or b"/" if self._strips else path
            headers = b"\r\n".join(one for one in rest.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
                                   if not one.lower().startswith(b"connection:"))
            body = rest.split(b"\r\n\r\n", 1)[1]
            said = b" ".join((method, path, version)) + b"\r\n" + headers
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                server.sendall(said + b"\r\nConnection: close\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n" + body)
                threading.Thread(target=_pump, args=(client, server), daemon=True).start()
                _pump(server, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
