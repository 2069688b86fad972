"""One request and its answer: the headers every answer gets, and what to do when the inside fails."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from wan_app.sharing.answers import Kind, refusal
from wan_app.sharing.bodies import Body
from wan_app.sharing.metrics import Metrics
from wan_app.sharing.network import Caller

# 'unsafe-eval' and 'unsafe-inline' are Gradio's own needs (its templates and its start script).
_POLICY = (
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self' data: blob:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
)
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=(), payment=(), usb=()"),
)
# Hugging Face shows Spaces in a frame.
_SPACE_FRAMES = "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
# Gradio answers any page that asks with leave to read; here only its own page asks.
_DROPPED = (b"access-control-", b"server")
_YEAR = 31_536_000
_HALF_AN_ANSWER = ("Caught handled exception", "Response content", "No response returned")
_ROUTES = (
    "files", "library", "assets", "static", "gradio_api", "config", "login", "guest", "logout", "metrics", "healthz",
)
log = logging.getLogger(__name__)


class Exchange:
    """Stands in for ASGI's `send`."""

    def __init__(
        self, send: Any, scope: Any, caller: Caller, metrics: Metrics, *, space: bool, body: Body
    ) -> None:
        self._send, self._scope, self._caller, self._metrics, self._space = send, scope, caller, metrics, space
        self._body, self._began = body, time.monotonic()
        self._cookies: list[bytes] = []
        self._started = self._ended = False
        accept = dict(scope["headers"]).get(b"accept", b"")
        self.kind: Kind = "html" if b"text/html" in accept else "json"

    async def __call__(self, message: Any) -> None:
        if self._body.fault and not self._started:
            # The application noticed only that the caller was gone.
            return
        if message["type"] == "http.response.start":
            self._started = True
            message = {**message, "headers": [*self._kept(message.get("headers", [])), *self._headers()]}
            self._metrics.answered(self._route(), message["status"], time.monotonic() - self._began)
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._ended = True
        await self._send(message)

    def set_cookie(self, name: str, value: str, root: str) -> None:
        """A session, for scripts not to see; empty takes it away."""
        said = f"{name}={value}; Path={root or '/'}; HttpOnly; Max-Age={_YEAR if value else 0}"
        if self._space:
            # In the frame of huggingface.co a Lax cookie would not come back.
            said += "; SameSite=None; Secure; Partitioned"
        else:
            said += "; SameSite=Lax" + ("; Secure" if self._caller.scheme == "https" else "")
        self._cookies.append(said.encode("latin-1"))

    def turned_away(self, status: int, message: str, wait: float = 0.0) -> Response:
        """A refusal that is counted and logged."""
        reasons = {401: "nobody", 403: "origin", 405: "method", 421: "host", 429: "rate"}
        reason = reasons.get(status, "other")
        self._metrics.count("wan_app_refused_total", reason=reason)
        log.info("turned away", extra={
            "reason": reason, "status": status, "route": self._route(), "address": self._caller.address,
        })
        return refusal(status, message, kind=self.kind, wait=wait)

    async def refuse(self, status: int, message: str) -> None:
        """End with a refusal, if nothing was answered yet."""
        self._body.fault = None
        if not self._started:
            await refusal(status, message, kind=self.kind)(self._scope, self._body, self)

    async def finish(self) -> None:
        """After the application: a body it could not read to its end is still to be answered."""
        if self._body.fault:
            await self.refuse(self._body.fault.status, str(self._body.fault))

    async def failed(self, error: Exception) -> None:
        """What the application did not catch: the caller gets one line, the log the rest."""
        if self._body.fault:
            await self.refuse(self._body.fault.status, str(self._body.fault))
            return
        gone = isinstance(error, ClientDisconnect)
        # Gradio ends some streams by raising after their beginning.
        broken_off = self._started and isinstance(error, RuntimeError) and str(error).startswith(_HALF_AN_ANSWER)
        if not gone and not broken_off:
            log.error("%s failed", self._route(), exc_info=error)
        if self._started:
            await self.cut()
        else:
            await self.refuse(400 if gone else 500, "The studio itself failed; its log says more")

    async def cut(self) -> None:
        """End an answer where it is."""
        if not self._started:
            await self.refuse(503, "The studio is closing")
        elif not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _kept(self, headers: Any) -> list[tuple[bytes, bytes]]:
        return [(name, value) for name, value in headers if not name.lower().startswith(_DROPPED)]

    def _headers(self) -> list[tuple[bytes, bytes]]:
        frames = _SPACE_FRAMES if self._space else "frame-ancestors 'self'"
        found = [(b"content-security-policy", "; ".join((*_POLICY, frames)).encode()), *_ALWAYS]
        if not self._space:
            found += [(b"x-frame-options", b"SAMEORIGIN"), (b"cross-origin-resource-policy", b"same-origin")]
        if self._caller.scheme == "https":
            found.append((b"strict-transport-security", b"max-age=31536000"))
        return found + [(b"set-cookie", cookie) for cookie in self._cookies]

    def _route(self) -> str:
        """The first word of the path, if it is one of ours: addresses hold tokens and names."""
        first = self._scope["path"].strip("/").partition("/")[0]
        return "page" if not first else first if first in _ROUTES else "other"
