"""Bad requests by the thousand: `python -m tests.hostile [--requests 1000] [--url URL] [--seed N]`.

Sends what no page and no client would: wrong shapes and types, forged names, paths out of the folder,
addresses in place of files, broken encodings, half requests. Whatever comes back must be an answer: no 5xx,
no traceback, neither to the caller nor in the log of the server, which is started here unless `--url` names
one. Ends with 1 if there was any.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

_SECRETS = ("/etc/passwd", "../../../../etc/passwd", "/proc/self/environ", "ledger.sqlite3", "keys/sharing.sqlite3")
_ADDRESSES = ("http://127.0.0.1:9/x.png", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "https://x/")
_NAMES = ("text_to_video", "image_to_video", "reference_to_video", "submit", "job", "cancel", "models", "verify")
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3.7, 1e308, -1e308, 2**31, 2**63, 2**70, -(2**70), "", " ", "x", "0", "true", "NaN",
    "\u202e\u0000", "\ud800", "🦊" * 50, "x" * 5000, "<script>alert(1)</script>", "'; DROP TABLE jobs; --", "{{7*7}}",
    [], {}, [[]], [None], [1, "x", {}], {"path": None}, {"path": "/etc/passwd"}, {"__type__": "update", "value": 1},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, {"video": {"path": "x"}}, {"image": None},
)


@dataclass
class Attack:
    """Makes requests out of a seed, sends them, and counts the answers."""

    client: httpx.Client
    config: dict[str, Any]
    chance: random.Random
    codes: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def run(self, count: int) -> None:
        """Send so many."""
        kinds = (self.event, self.call, self.join, self.file, self.upload, self.door, self.stray, self.stream)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            for method, path, rest in kind():
                self.send(method, path, rest)

    def send(self, method: str, path: str, rest: dict[str, Any]) -> httpx.Response | None:
        """One request and a look at what came back."""
        try:
            with self.client.stream(method, path, **rest) as answer:
                text = b""
                for piece in answer.iter_bytes():
                    text += piece
                    if len(text) > 100_000:
                        break
        except httpx.ReadTimeout:
            self.codes[0] += 1  # a stream that waits for what does not come
            return None
        except (httpx.LocalProtocolError, httpx.InvalidURL, ValueError, UnicodeError):
            return None  # not even our own client sends this
        except httpx.TransportError as error:
            self.broken.append(f"no answer ({error!r}) {method} {path[:100]} {str(rest)[:300]}")
            return None
        self.codes[answer.status_code] += 1
        if answer.status_code >= 500 or b"Traceback" in text:
            self.broken.append(f"{answer.status_code} {method} {path[:100]} {str(rest)[:300]} -> {text[:300]!r}")
        answer._content = text
        return answer

    # --- kinds ----------------------------------------------------------------------------------

    def event(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """What the page sends on a click, bent."""
        dep = self.chance.choice(self.config["dependencies"])
        data = [self.odd() for _ in dep["inputs"]]
        body: dict[str, Any] = {"fn_index": dep["id"], "data": data, "session_hash": self.chance.choice(("s1", "s2"))}
        yield "POST", "gradio_api/run/predict", {"content": self.encoded(self.bent(body))}

    def call(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """A named endpoint, and the stream of what it says."""
        name = self.chance.choice((*_NAMES, "nope", "..", "a" * 100, "%00", "predict"))
        data = [self.odd() for _ in range(self.chance.choice((0, 1, 2, 12, 13, 15, 16, 22)))]
        version = self.chance.choice(("", "", "v2/"))
        body: Any = {"data": data} if not version else {self.chance.choice(("prompt", "mode", "x")): self.odd()}
        answer = self.send("POST", f"gradio_api/call/{version}{name}", {"content": self.encoded(self.bent(body))})
        found = _json(answer)
        if isinstance(found, dict) and "event_id" in found:
            yield "GET", f"gradio_api/call/{name}/{found['event_id']}", {}

    def join(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The queue, entered sideways."""
        dep, session = self.chance.choice(self.config["dependencies"]), f"h{self.chance.randrange(10**9)}"
        data = [self.odd() for _ in dep["inputs"]]
        body = {"fn_index": dep["id"], "data": data, "session_hash": session, "event_data": self.odd(),
                "trigger_id": self.odd()}
        yield "POST", "gradio_api/queue/join", {"content": self.encoded(self.bent(body))}
        if self.chance.random() < 0.2:
            yield "GET", f"gradio_api/queue/data?session_hash={session}", {}
        yield "POST", f"gradio_api/{self.chance.choice(('cancel', 'reset'))}", {"content": self.encoded(
            {"event_id": self.odd(), "session_hash": self.odd(), "fn_index": self.odd()})}

    def file(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Somebody else's file."""
        where = self.chance.choice(("gradio_api/file=", "gradio_api/file/", "files/", "file=", "static/", "assets/",
                                    "svelte/", "gradio_api/proxy=", "files/x/", "gradio_api/custom_component/"))
        what = self.chance.choice((*_SECRETS, *_ADDRESSES, "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cx", "%00", ".",
                                   "x" * 5000, "1a2b-" + "0" * 20, "%ff%fe", "C:\\windows\\win.ini", "//etc/passwd"))
        headers = {"Range": self.chance.choice(("bytes=0-", "bytes=9-1", "bytes=-", "x", "bytes=0-0,1-1," * 50))}
        yield self.chance.choice(("GET", "HEAD")), where + what, {"headers": headers}

    def upload(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """No pictures."""
        name = self.chance.choice(("x.png", "../../x.png", "a\u202egnp.exe", "", "x" * 300 + ".png", "CON", "x\n.png"))
        picture = b"\x89PNG\r\n\x1a\n" + b"x" * 40
        content = self.chance.choice((b"", b"I am no picture", b"<?php", picture, b"\0" * 4000))
        kind = self.chance.randrange(4)
        if kind == 0:
            yield "POST", "gradio_api/upload", {"content": content, "headers": {"content-type": self.chance.choice((
                "multipart/form-data", "multipart/form-data; boundary=x", "text/plain", "x"))}}
        elif kind == 1:
            yield "POST", "gradio_api/upload", {"data": {"files": "words"}, "files": {"other": (name, content)}}
        else:
            count = self.chance.choice((1, 1, 2, 30))
            yield "POST", "gradio_api/upload?upload_id=a", {"files": [("files", (name, content)) for _ in range(count)]}

    def door(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The ways in and out."""
        yield self.chance.choice(("GET", "POST")), self.chance.choice((
            "login", "guest/" + "x" * 32, "guest/%00", "guest/../login", "metrics", "healthz", "logout/x", "guest/",
        )), {"content": self.chance.choice((b"", b"password=\xff\xfe", b"password=" + b"x" * 9000, b"a&" * 4000)),
             "headers": {"content-type": "application/x-www-form-urlencoded", "cookie": self.cookie()}}

    def stray(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Anything anywhere."""
        method = self.chance.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"))
        path = self.chance.choice(("", "config", "info", "gradio_api/info", "gradio_api/openapi.json", "monitoring",
                                   "gradio_api/component_server", "gradio_api/dev/reload", "gradio_api/vibe-code",
                                   "gradio_api/deep_link", "gradio_api/stream/x", "gradio_api/process_recording",
                                   "?deep_link=../x", "config?deep_link=x&page=zzz", "gradio_api/runs", "queue/join",
                                   "gradio_api/startup-events", "%", "a/" * 300, "gradio_api/profiling/traces"))
        headers = self.chance.choice((
            {}, {"origin": "null"}, {"host": "evil.example"}, {"accept": "text/html"}, {"x-forwarded-host": "evil"},
            {"content-type": "application/json"}, {"cookie": self.cookie()},
            {"x-gradio-server": "http://evil"}, {"accept-language": "x" * 4000},
        ))
        yield method, path, {"headers": headers, "content": self.encoded(self.odd()) if method != "HEAD" else b""}

    def stream(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Messages of others."""
        yield "GET", self.chance.choice((
            "gradio_api/queue/data?session_hash=nobody", "gradio_api/queue/data", "gradio_api/call/submit/nobody",
            "gradio_api/upload_progress?upload_id=nobody", "gradio_api/upload_progress", "gradio_api/queue/status",
            "gradio_api/queue/data?session_hash=a&session_hash=b", "gradio_api/call/v2/job/x",
            "gradio_api/stream/x/y/1/z", "gradio_api/heartbeat/..", "gradio_api/heartbeat/",
        )), {}

    # --- pieces ---------------------------------------------------------------------------------

    def odd(self) -> Any:
        """A value that hardly fits anywhere."""
        return self.chance.choice(_ODD)

    def bent(self, body: Any) -> Any:
        """A body, now and then without or with another value somewhere."""
        if isinstance(body, dict) and body and self.chance.random() < 0.3:
            body = dict(body)
            name = self.chance.choice(list(body))
            if self.chance.random() < 0.5:
                body.pop(name)
            else:
                body[name] = self.odd()
        return body

    def encoded(self, body: Any) -> bytes:
        """JSON, or something like it."""
        data = json.dumps(body).encode()
        broken = (data[:-3], data + b"}", b"\xff" + data, b"[" * 5000, b"NaN", b'{"data": NaN}')
        return self.chance.choice(broken) if self.chance.random() < 0.2 else data

    def cookie(self) -> str:
        """A forged session."""
        name = self.chance.choice(("wan_app_session", "x", "wan_app_session_00000000"))
        return f"{name}={self.chance.choice(('o.x.9999999999.sig', 'a' * 3000, '', 'v.1.1.1', '; ; ='))}"


def raw_abuse(host: str, port: int) -> list[bytes]:
    """What is no HTTP at all; the beginnings of the answers."""
    heads = []
    login = b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
    for data in (
        b"\0\1\2\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0\1\0\1\xfc",
        b"GET " + b"x" * 60_000 + b" HTTP/1.1\r\n\r\n", login + b"Content-Length: -5\r\n\r\n",
        login + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ):
        with socket.create_connection((host, port), timeout=10) as one:
            one.sendall(data)
            try:
                heads.append(one.recv(200))
            except (TimeoutError, ConnectionError):
                heads.append(b"")
    return heads


def attack(url: str, count: int, seed: int, *, cookies: dict[str, str] | None = None) -> Attack:
    """Send `count` bad requests, and some that are none, to the studio at `url`."""
    timeout = httpx.Timeout(10, read=4)
    with httpx.Client(base_url=url, timeout=timeout, cookies=cookies, follow_redirects=False) as client:
        one = Attack(client, client.get("config").json(), random.Random(seed))
        one.run(count)
    parsed = httpx.URL(url)
    for head in raw_abuse(parsed.host, parsed.port or 80):
        if head.startswith(b"HTTP/1.1 5"):
            one.broken.append(f"raw: {head!r}")
    return one


def main() -> int:
    """Attack, tell, and say by the exit code how it went."""
    from tests.e2e.conftest import Studio

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--url")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="where the server's own log goes")
    options = parser.parse_args()
    log = ""
    if options.url:
        found = attack(options.url, options.requests, options.seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            studio = Studio(Path(folder))
            studio.start()
            try:
                found = attack(studio.url, options.requests, options.seed)
            finally:
                studio.stop()
                log = studio.log()
                if options.log:
                    shutil.copy(studio.data_dir / "logs" / "studio.jsonl", options.log)
    told = ", ".join(f"{code or 'waiting'}: {count}" for code, count in sorted(found.codes.items()))
    print(f"{sum(found.codes.values())} bad requests, seed {options.seed}: {told}")
    print(f"{len(found.broken)} answers of 5xx or with a traceback; {log.count('Traceback')} tracebacks in the log")
    for line in found.broken[:20]:
        print("  ", line)
    if "Traceback" in log:
        print(log[log.index("Traceback"):][:60_000])
    return 1 if found.broken or "Traceback" in log else 0


def _json(answer: httpx.Response | None) -> Any:
    try:
        return json.loads(answer.content) if answer is not None else None
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main())
