"""Between the gate and Gradio: only the routes that the page and the API need, each for the one it belongs to.

Gradio trusts its callers more than an open door allows. It fetches addresses that it is given as files,
serves its whole cache to everybody, and answers a wrong number of inputs with an error of its own. So bodies
are read and checked here, and what comes out is looked through for files that it hands out.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response

from wan_app.media.kinds import is_media
from wan_app.sharing.answers import refusal
from wan_app.sharing.bodies import BadBody, replayed
from wan_app.sharing.gate import WHO
from wan_app.ui.belongings import Belongings
from wan_app.ui.bodies import Endpoints, checked_body, files_in, parsed
from wan_app.ui.faults import REFUSED
from wan_app.ui.once import Once
from wan_app.ui.session import MAY_USE

API = "/gradio_api"
UPLOAD = API + "/upload"
_PLAIN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/pwa_icon(/\d+)?"
    r"|/(assets|static|svelte)/[\w.,@+~/-]{1,200}"
    rf"|{API}/(info|openapi\.json|app_id|startup-events|theme\.css|queue/status|user|login_check)/?"
)
_FILE = re.compile(rf"{API}/file[=/](.*)", re.DOTALL)
_CALL = re.compile(rf"{API}/call/(?:v2/)?([\w.-]{{1,80}})/([\w-]{{1,80}})")
_HEARTBEAT = re.compile(rf"{API}/heartbeat/([\w.-]{{1,80}})")
_POSTS = re.compile(rf"{API}/(queue/join|(?:run|api)/([\w.-]{{1,80}})|call/(?:v2/)?([\w.-]{{1,80}})|reset|cancel)/?")
_EVENT = re.compile(rb'"event_id"\s*:\s*"([\w-]{1,80})"')
log = logging.getLogger(__name__)


class Guard:
    """ASGI application around Gradio's.

    Args:
        endpoints: what can be called, as (inputs, names) by number and by name.
        cache: Gradio's folder of uploads and results; public: one whose files are for everybody (examples).
    """

    def __init__(
        self, app: Any, *, endpoints: Endpoints, belongings: Belongings, cache: Path, public: Path | None,
    ) -> None:
        self._app, self._endpoints, self._belongings = app, endpoints, belongings
        self._cache, self._public = cache.resolve(), public and public.resolve()
        self._once = Once()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = await self._answer(scope, receive, send)
        if answer is not None:
            await answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> Response | None:
        path, owner, reads = scope["path"], scope[WHO].owner, scope["method"] != "POST"
        scope = {**scope, MAY_USE: lambda name: self._may_use(owner, name)}
        if reads and _PLAIN.fullmatch(path):
            await self._app(scope, receive, send)
        elif reads and (found := _FILE.fullmatch(path)):
            return await self._file(found[1], owner, scope, receive, send)
        elif reads and self._listens(path, scope, owner):
            await self._app(scope, receive, Watching(send, self._handed(owner)))
        elif not reads and path == UPLOAD:
            return await self._upload(scope, receive, Uploading(send, self._handed(owner)))
        elif not reads and (found := _POSTS.fullmatch(path)):
            return await self._post(found, owner, scope, receive, send)
        else:
            return refusal(404, "There is nothing here")
        return None

    # --- files --------------------------------------------------------------------------------

    async def _file(self, name: str, owner: str, scope: Any, receive: Any, send: Any) -> Response | None:
        real = self._within(name)
        if real is None or not (self._is_public(real) or self._belongings.has(owner, str(real))):
            return refusal(404, "There is no such file of yours")
        path = f"{API}/file={real}"
        await self._app({**scope, "path": path, "raw_path": path.encode(), "query_string": b""}, receive, send)
        return None

    def _within(self, name: str) -> Path | None:
        """The file meant by a path, where it can be one of Gradio's or an example."""
        if "\0" in name or "://" in name or len(name) > 4096 or not os.path.isabs(name):
            return None
        try:
            real = Path(name).resolve()
        except (OSError, ValueError, RuntimeError):
            return None
        return real if real.is_relative_to(self._cache) or self._is_public(real) else None

    def _is_public(self, real: Path) -> bool:
        return self._public is not None and real.is_relative_to(self._public)

    def _handed(self, owner: str) -> Callable[[str], None]:
        def hand(path: str) -> None:
            with suppress(OSError, ValueError, RuntimeError):
                self._belongings.give(owner, str(Path(path).resolve()))

        return hand

    def _may_use(self, owner: str, path: str) -> bool:
        real = self._within(path)
        return real is not None and (self._is_public(real) or self._belongings.has(owner, str(real)))

    async def _upload(self, scope: Any, receive: Any, uploading: Uploading) -> Response | None:
        try:
            await self._app(scope, receive, uploading)
        except (TypeError, AttributeError, ValueError, KeyError) as error:
            # Gradio does not expect a form without files in it.
            log.info("an upload that is none", extra={"kind": type(error).__name__})
            return refusal(400, "These are no files", kind="text")
        except OSError as error:
            log.error("an upload could not be kept: %s", error.strerror)
            return refusal(507, "The studio's disk does not take this file", kind="text")
        return None

    # --- calls --------------------------------------------------------------------------------

    def _listens(self, path: str, scope: Any, owner: str) -> bool:
        """Whether this is a stream of the caller's own."""
        if path in (API + "/queue/data", API + "/upload_progress"):
            asked = parse_qs(scope["query_string"].decode("latin-1"))
            names = asked.get("session_hash" if path.endswith("data") else "upload_id", [""])
            known = self._belongings.claimed if path.endswith("data") else self._belongings.claim
            return len(names) == 1 and 0 < len(names[0]) <= 80 and known(owner, names[0])
        if found := _HEARTBEAT.fullmatch(path):
            return self._belongings.claim(owner, found[1])
        found = _CALL.fullmatch(path)
        return found is not None and self._belongings.claimed(owner, found[2])

    async def _post(self, found: re.Match[str], owner: str, scope: Any, receive: Any, send: Any) -> Response | None:
        try:
            given = parsed(await receive.read())
            if found[1] in ("reset", "cancel"):
                body = self._ending(given, owner)
            else:
                body = checked_body(given, self._endpoints, path=scope["path"], name=found[2] or found[3] or "")
            for file in files_in(body):
                if not self._may_use(owner, file):
                    raise BadBody(400, "A file in this request was not uploaded by you")
            session = body.get("session_hash")
            if session is not None and not self._belongings.claim(owner, session):
                raise BadBody(403, "This page session is somebody else's")
        except BadBody as error:
            return refusal(error.status, str(error))
        data = json.dumps(body).encode()
        scope = _sized(scope, data)

        async def call(send: Any) -> None:
            watching = Calling(send, scope, self._handed(owner), lambda event: self._belongings.claim(owner, event))
            await self._app(scope, replayed(data, receive), watching)

        key = Once.key(scope, owner, data)
        await (self._once(key, call, send) if key else call(send))
        return None

    def _ending(self, given: dict[str, Any], owner: str) -> dict[str, Any]:
        """The body of a cancel, which must be for a call of the caller's own."""
        event, session = given.get("event_id"), given.get("session_hash", "")
        if not isinstance(event, str) or not self._belongings.claimed(owner, event):
            raise BadBody(404, "There is no such call of yours")
        if not isinstance(session, str) or not isinstance(given.get("fn_index", 0), int):
            raise BadBody(400, "session_hash must be a text, fn_index a number")
        return {"event_id": event, "session_hash": session, "fn_index": given.get("fn_index", 0)}


class Watching:
    """Stands in for `send`: notes the files which Gradio hands out in a stream of messages."""

    def __init__(self, send: Any, hand: Callable[[str], None]) -> None:
        self._send, self._hand = send, hand

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.body" and b"gradio.FileData" in message.get("body", b""):
            for line in message["body"].splitlines():
                if b"gradio.FileData" in line:
                    self._note(line.removeprefix(b"data:"))
        await self._send(message)

    def _note(self, data: bytes) -> None:
        try:
            for path in files_in(json.loads(data)):
                self._hand(path)
        except (ValueError, RecursionError):
            log.warning("a message of files could not be read")


class Calling(Watching):
    """The same for a single answer, which may also name the call that it began.

    Gradio answers inputs that it refuses as if it had failed itself (500).
    """

    def __init__(self, send: Any, scope: Any, hand: Callable[[str], None], began: Callable[[str], Any]) -> None:
        super().__init__(send, hand)
        self._scope, self._began = scope, began

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] == 500 and self._scope.get(REFUSED):
            message = {**message, "status": 422}
        body = message.get("body", b"") if message["type"] == "http.response.body" else b""
        if len(body) < 400 and (found := _EVENT.search(body)):
            self._began(found[1].decode())
        await super().__call__(message)


class Uploading:
    """Stands in for `send` at an upload: keeps pictures and sounds, and nothing else."""

    def __init__(self, send: Any, hand: Callable[[str], None]) -> None:
        self._send, self._hand = send, hand
        self._start: Any = None
        self._body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        if self._start["status"] >= 500:
            return  # what went wrong comes as an exception after this
        answer = refusal(415, "Only pictures and sounds can be uploaded", kind="text") if self._refused() else None
        if answer:
            await answer({"type": "http"}, None, self._send)  # type: ignore[arg-type]
            return
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": self._body})

    def _refused(self) -> bool:
        """Whether one of the files was none that this app reads; then all are gone."""
        if self._start["status"] != 200:
            return False
        try:
            paths = [path for path in json.loads(self._body) if isinstance(path, str)]
        except ValueError:
            return False
        if all(is_media(Path(path)) for path in paths):
            for path in paths:
                self._hand(path)
            return False
        for path in paths:
            Path(path).unlink(missing_ok=True)
        return True


def _sized(scope: Any, data: bytes) -> Any:
    """The scope of a request whose body is now `data`."""
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding",
                                                                                b"content-type")]
    kept += [(b"content-length", str(len(data)).encode()), (b"content-type", b"application/json")]
    return {**scope, "headers": kept}
