"""The gate in front of everything that is served: where a request comes from, who sends it, how often.

Plain ASGI, for streams must stay streams. What is let through has `scope["wan_app"]`, a `Who`.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from wan_app.errors import StorageError
from wan_app.settings import Settings
from wan_app.sharing.answers import refusal, sign_in
from wan_app.sharing.bodies import BadBody, Body
from wan_app.sharing.door import Door, Refused
from wan_app.sharing.exchange import Exchange
from wan_app.sharing.metrics import Metrics, Sample
from wan_app.sharing.network import Caller, Network, without_forwarded
from wan_app.sharing.rates import LIMITS, OWNER_LIMITS, Rates
from wan_app.sharing.sessions import COOKIE
from wan_app.sharing.who import Who

WHO = "wan_app"
_BODY, _FORM = 2_000_000, 10_000
_METHODS = ("GET", "HEAD", "POST")
_TOKEN = re.compile(r"/guest/([A-Za-z0-9_-]{16,64})/?")
log = logging.getLogger(__name__)
App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(kw_only=True)
class Gate:
    """ASGI application around `app`.

    Args:
        uploads: paths of uploads, each with the size of the largest one, in bytes.
        health: raises when the studio can't work; gauges: what is measured at the moment of asking.
    """

    app: App
    door: Door
    network: Network
    settings: Settings
    uploads: Mapping[str, int]
    health: Callable[[], dict[str, Any]]
    gauges: Callable[[], list[Sample]]

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self._strict, self._lavish = Rates(LIMITS), Rates(OWNER_LIMITS)
        self._root = self.settings.sharing.root_path.rstrip("/")
        # Cookies know no ports: two studios on one computer must not sign each other out.
        self.cookie = f"{COOKIE}_{self.door.sessions.name}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        caller = self.network.caller(scope)
        scope = self._own_view(scope, caller)
        body = Body(receive, self.uploads.get(scope["path"], _BODY))
        exchange = Exchange(send, scope, caller, self.metrics, space=bool(self.network.space), body=body)
        exchange.kind = "text" if scope["path"] in self.uploads else exchange.kind
        try:
            answer = await self._answer(scope, caller, body, exchange)
            if answer is not None:
                await answer(scope, body, exchange)
            await exchange.finish()
        except StorageError as error:
            log.error("%s", error)
            await exchange.refuse(503, "The studio's own files cannot be read just now")
        except BadBody as fault:
            await exchange.refuse(fault.status, str(fault))
        except asyncio.CancelledError:
            # The server closes, and this stream was still open.
            await exchange.cut()
        except Exception as error:
            await exchange.failed(error)

    async def _answer(self, scope: Any, caller: Caller, body: Body, exchange: Exchange) -> Response | None:
        """What the gate says itself; None where the application answered."""
        path = scope["path"]
        if path == "/healthz":
            wait = self._wait("request", None, caller)
            return exchange.turned_away(429, "Too many requests", wait) if wait else await self._healthy()
        if self._root and scope.get("wan_app_bare"):
            return RedirectResponse(self._root + "/", 308)
        if refused := self._refused(scope, caller):
            return exchange.turned_away(*refused)
        cookie = self._cookie_of(scope)
        who = self.door.who(cookie)
        if wait := self._wait("door" if path in ("/login", "/logout") or path.startswith("/guest/") else "request",
                              who, caller):
            return exchange.turned_away(429, "Too many requests", wait)
        if path == "/login":
            return await self._login(scope, caller, body, exchange)
        if path.startswith("/guest/"):
            return self._guest(path, caller, who, exchange)
        if path == "/logout":
            return self._logout(scope, cookie, exchange)
        if path == "/metrics":
            return await self._measured(scope, who, exchange)
        if who is None and self.door.mode == "demo":
            cookie = self.door.sessions.visitor()
            who = self.door.who(cookie)
            exchange.set_cookie(self.cookie, cookie, self._root)
        if who is None:
            self.metrics.count("wan_app_refused_total", reason="nobody")
            if exchange.kind == "html" and path == "/":
                return sign_in()
            return refusal(401, "Not authenticated", kind=exchange.kind)
        if wait := self._costs(scope, who, caller, body):
            return exchange.turned_away(429, "Too many requests", wait)
        scope[WHO] = who
        await self.app(scope, body, exchange)
        return None

    # --- where it comes from ----------------------------------------------------------------

    def _own_view(self, scope: Any, caller: Caller) -> Any:
        """The scope as if no proxy stood between: its path below the root, its host as the browser has it."""
        path = scope["path"]
        bare = bool(self._root) and path == self._root
        if self._root and (bare or path.startswith(self._root + "/")):
            path = path[len(self._root):] or "/"
        headers = [(name, value) for name, value in without_forwarded(scope["headers"]) if name != b"host"]
        headers.append((b"host", caller.host.encode("latin-1")))
        return {
            **scope, "path": path, "raw_path": path.encode("utf-8", "surrogatepass"), "root_path": "",
            "headers": headers, "scheme": caller.scheme, "client": (caller.address, 0), "wan_app_bare": bare,
        }

    def _refused(self, scope: Any, caller: Caller) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        if scope["method"] not in _METHODS:
            return 405, f"{scope['method'][:10]} is not used here"
        if not self.network.is_ours(caller.host):
            return 421, "This studio does not go by that name (--allow-host NAME lets it)"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and not self.network.is_own_page(origin, caller):
            return 403, "Another page asks; only the studio's own page may"
        site = headers.get(b"sec-fetch-site", b"none").decode("latin-1")
        looks = scope["method"] != "POST" and headers.get(b"sec-fetch-mode") == b"navigate"
        if site not in ("none", "same-origin") and not looks and not origin:
            return 403, "Another page asks; only the studio's own page may"
        return None

    # --- how often ---------------------------------------------------------------------------

    def _wait(self, kind: str, who: Who | None, caller: Caller, amount: float = 1.0) -> float:
        if who and who.manages and kind != "door":
            return self._lavish.take(kind, who.owner, amount)
        # A visitor can be a new one each time; an address can not.
        return self._strict.take(kind, who.owner if who and who.guest else caller.address, amount)

    def _costs(self, scope: Any, who: Who, caller: Caller, body: Body) -> float:
        """Seconds to wait before a POST of this kind is taken."""
        if scope["method"] != "POST":
            return 0.0
        most = self.uploads.get(scope["path"])
        if most is None:
            return self._wait("call", who, caller)
        size = _length(scope)
        if size is None:
            raise BadBody(411, "Its size must be said (Content-Length)")
        if size > most:
            raise BadBody(413, f"This is too large: at most {most / 1e6:.0f} MB")
        return self._wait("upload", who, caller) or self._wait("upload_bytes", who, caller, size)

    # --- coming in and going out ---------------------------------------------------------------

    def _cookie_of(self, scope: Any) -> str:
        for name, value in scope["headers"]:
            if name != b"cookie":
                continue
            for part in value.decode("latin-1").split(";"):
                key, _, found = part.strip().partition("=")
                if key == self.cookie:
                    return found
        return ""

    async def _login(self, scope: Any, caller: Caller, body: Body, exchange: Exchange) -> Response:
        if scope["method"] != "POST":
            return sign_in(status=200) if self.door.mode == "password" else RedirectResponse("./", 303)
        given = _form(await _small(body))
        password, guest = given.get("password", ""), given.get("username") == "guest"
        try:
            enter = self.door.visit if guest else self.door.enter
            cookie = await asyncio.to_thread(enter, password, caller.address)
        except Refused as error:
            self.metrics.count("wan_app_refused_total", reason="password")
            if exchange.kind == "html":
                page = sign_in(wrong=str(error), status=429 if error.wait else 401)
                page.headers.update({"Retry-After": str(round(error.wait) + 1)} if error.wait else {})
                return page
            return refusal(429 if error.wait else 401, str(error), wait=error.wait)
        log.info("signed in", extra={"role": "guest" if guest else "owner", "address": caller.address})
        exchange.set_cookie(self.cookie, cookie, self._root)
        # gradio_client takes only an answer of 200 for a success.
        return RedirectResponse("./", 303) if exchange.kind == "html" else JSONResponse({"success": True})

    def _guest(self, path: str, caller: Caller, who: Who | None, exchange: Exchange) -> Response:
        found = _TOKEN.fullmatch(path)
        if who and who.manages and self.door.mode == "password":
            return RedirectResponse("../", 303)  # nobody can turn the owner into a guest by a link
        try:
            cookie = self.door.visit(found[1] if found else "", caller.address)
        except Refused as error:
            self.metrics.count("wan_app_refused_total", reason="link")
            return exchange.turned_away(429 if error.wait else 403, str(error), error.wait)
        log.info("signed in", extra={"role": "guest", "address": caller.address})
        exchange.set_cookie(self.cookie, cookie, self._root)
        return RedirectResponse("../", 303)

    def _logout(self, scope: Any, cookie: str, exchange: Exchange) -> Response:
        if scope["method"] != "POST":
            return refusal(405, "Leaving takes a POST", kind=exchange.kind)
        self.door.sessions.end(cookie)
        exchange.set_cookie(self.cookie, "", self._root)
        return RedirectResponse("./", 303)

    # --- how it is -----------------------------------------------------------------------------

    async def _healthy(self) -> Response:
        try:
            return JSONResponse({"status": "ok", **await asyncio.to_thread(self.health)})
        except Exception as error:
            log.error("not healthy: %s", type(error).__name__)
            return JSONResponse({"status": "failing", "reason": type(error).__name__}, 503)

    async def _measured(self, scope: Any, who: Who | None, exchange: Exchange) -> Response:
        wanted, said = self.settings.sharing.metrics_token, dict(scope["headers"]).get(b"authorization", b"")
        by_token = wanted and hmac.compare_digest(said, f"Bearer {wanted}".encode())
        if not by_token and not (who and who.manages):
            return exchange.turned_away(401, "Measurements are for the owner (or WAN_APP_METRICS_TOKEN)")
        text = self.metrics.text(await asyncio.to_thread(self.gauges))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _small(body: Body) -> bytes:
    data = await body.read()
    if len(data) > _FORM:
        raise BadBody(413, "That is no password")
    return data


def _form(data: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(data.decode("utf-8"), keep_blank_values=True, max_num_fields=8))
    except ValueError:
        return {}


def _length(scope: Any) -> int | None:
    said = dict(scope["headers"]).get(b"content-length", b"")
    return int(said) if said.isdigit() else None
