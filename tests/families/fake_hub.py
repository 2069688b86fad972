"""A hub on this machine only, which stalls, cuts, drops and lies as it is told to."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
# What a request for a file may meet, one after the other: see `_Handler._body`.
STALL, DROP, CUT, WRONG, LONGER, CRAWL = "stall", "drop", "cut", "wrong", "longer", "crawl"


@dataclass
class Asked:
    """One request that came."""

    path: str
    range: str | None
    token: str | None


@dataclass
class FakeHub:
    """Repositories by name, each a dict of contents by path; large files (4 KB and more) come from a 'CDN'.

    `faults` are by file path, used up from the front: one of the words above or an HTTP status. `after` is how many
    bytes of an answer come before a fault, `rate` how many a second, None for as fast as it goes.
    """

    repositories: dict[str, dict[str, bytes]]
    faults: dict[str, list[str | int]] = field(default_factory=dict)
    gated: bool = False
    ranges: bool = True
    after: int = 5000
    rate: int | None = None
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> FakeHub:
        hub = self
        self._gone = threading.Event()

        class Handler(_Handler):
            pass

        Handler.hub = hub
        # The second one is the 'CDN': another origin, as with the real hub.
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}"

    @property
    def cdn(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_address[1]}/cdn"

    def files_asked(self) -> list[str]:
        """Paths of the files that were asked for, in order."""
        return [one.path.partition(f"/{COMMIT}/")[2] for one in self.asked if one.path.startswith("/cdn/")]

    def wait(self, seconds: float) -> None:
        self._gone.wait(seconds)


def large(content: bytes) -> bool:
    return len(content) >= 4096


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(Asked(path, self.headers.get("Range"), self.headers.get("Authorization")))
        try:
            if path.startswith("/api/models/"):
                self._listing(path.removeprefix("/api/models/"))
            elif path.startswith("/cdn/"):
                self._file(path.removeprefix("/cdn/"))
            elif "/resolve/" in path:
                self._answer(302, b"", Location=self.hub.cdn + self.path)
            else:
                self._answer(404, b"")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _listing(self, rest: str) -> None:
        fault = self._next_fault("listing")
        if fault == STALL:
            self.hub.wait(60)
        if fault == WRONG:
            return self._answer(200, b"<html>log in to this network</html>")
        if isinstance(fault, int):
            return self._answer(fault, b"")
        repository, _, revision = rest.partition("/revision/")
        files = self.hub.repositories.get(repository)
        if self.hub.gated:
            return self._answer(403, b"{}", **{"X-Error-Code": "GatedRepo"})
        if files is None:
            return self._answer(401, b"{}", **{"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self._answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        rows = [_row(path, content) for path, content in files.items()]
        self._answer(200, json.dumps({"id": repository, "sha": COMMIT, "siblings": rows}).encode())

    def _file(self, rest: str) -> None:
        repository, _, where = rest.partition("/resolve/")
        path = where.partition("/")[2]
        content = self.hub.repositories[repository][path]
        fault = self._next_fault(path)
        if isinstance(fault, int):
            return self._answer(fault, b"")
        start = 0
        if self.hub.ranges and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        body = content[start:]
        if fault == WRONG:
            body = bytes(255 - one for one in body)
        self.send_response(206 if start else 200)
        length = len(body) + (7 if fault == LONGER else 0)
        if fault == CUT:
            length = min(length, self.hub.after)
        self.send_header("Content-Length", str(length))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self._body((body + b"surplus")[:length], fault)

    def _body(self, body: bytes, fault: str | int | None) -> None:
        """The bytes; a stalled connection stays open, a dropped one is closed, a cut one ends as if it were whole."""
        if fault in (STALL, DROP):
            self._write(body[: self.hub.after])
            if fault == STALL:
                self.hub.wait(60)
            self.close_connection = True
            return
        if fault == CRAWL:
            for place in range(40):
                self._write(body[place:place + 1])
                self.hub.wait(0.05)
            body = body[40:]
        self._write(body)

    def _write(self, body: bytes) -> None:
        piece = max(1, (self.hub.rate or 0) // 20) or len(body)
        for begin in range(0, len(body), piece if self.hub.rate else max(len(body), 1)):
            self.wfile.write(body[begin:begin + piece] if self.hub.rate else body)
            self.wfile.flush()
            if self.hub.rate:
                time.sleep(0.05)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _next_fault(self, path: str) -> str | int | None:
        left = self.hub.faults.get(path)
        return left.pop(0) if left else None


def _row(path: str, content: bytes) -> dict[str, object]:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    row: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": git}
    if large(content):
        row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return row


def tensors(count: int = 5000, seed: int = 0) -> bytes:
    """A safetensors file of one tensor of `count` bytes."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    body = bytes((seed + place * 7919) % 251 for place in range(count))
    return len(header).to_bytes(8, "little") + header + body


def vace_repository(size: int = 20_000) -> dict[str, bytes]:
    """Wan2.1-VACE's layout with next to nothing in it, and with what nobody needs beside it."""
    def text(value: object) -> bytes:
        return json.dumps(value).encode()

    shards = {f"model-0000{n}-of-00002.safetensors": tensors(size, n) for n in (1, 2)}
    index = {"metadata": {}, "weight_map": {f"a{n}": name for n, name in enumerate(shards)}}
    files = {
        "model_index.json": text({
            "_class_name": "WanVACEPipeline", "_diffusers_version": "0.34.0",
            "scheduler": ["diffusers", "UniPCMultistepScheduler"], "tokenizer": ["transformers", "T5TokenizerFast"],
            "text_encoder": ["transformers", "UMT5EncoderModel"], "vae": ["diffusers", "AutoencoderKLWan"],
            "transformer": ["diffusers", "WanVACETransformer3DModel"], "transformer_2": [None, None],
        }),
        "scheduler/scheduler_config.json": text({"_class_name": "UniPCMultistepScheduler"}),
        "tokenizer/tokenizer.json": text({"model": "x" * 5000}),
        "tokenizer/spiece.model": b"spiece",
        "text_encoder/config.json": text({"architectures": ["UMT5EncoderModel"]}),
        "text_encoder/model.safetensors.index.json": text(index),
        **{f"text_encoder/{name}": content for name, content in shards.items()},
        "vae/config.json": text({"_class_name": "AutoencoderKLWan"}),
        "vae/diffusion_pytorch_model.safetensors": tensors(size, 3),
        "transformer/config.json": text({"_class_name": "WanVACETransformer3DModel"}),
        "transformer/diffusion_pytorch_model.safetensors": tensors(size, 4),
    }
    unneeded = {
        "README.md": b"words", "assets/picture.png": b"png", "wan_vace_bf16_all_in_one.safetensors": tensors(size, 5),
        "vae/diffusion_pytorch_model.fp16.safetensors": tensors(size, 6), "vae/model.safetensors": tensors(size, 7),
        "text_encoder/pytorch_model.bin": b"pickle" * 1000, "transformer_2/config.json": text({}),
        "transformer/pictures/one.png": b"png",
    }
    return {**files, **unneeded}


UNNEEDED = {
    "README.md", "assets/picture.png", "wan_vace_bf16_all_in_one.safetensors", "transformer_2/config.json",
    "vae/diffusion_pytorch_model.fp16.safetensors", "vae/model.safetensors", "text_encoder/pytorch_model.bin",
    "transformer/pictures/one.png",
}
