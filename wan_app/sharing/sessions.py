"""Sessions: a signed cookie, which for owners and guests is also a row that can be taken back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from wan_app.sharing.store import Store

COOKIE = "wan_app_session"
OWNER_DAYS, VISITOR_DAYS = 30, 90
_DAY = 86_400
_KINDS = ("o", "g", "v")


class Sessions:
    """`kind.id.expires.signature`. A visitor's (v) stands by itself; others (o, g) end when their row goes."""

    def __init__(self, store: Store) -> None:
        self._store, self._secret = store, store.secret()
        # Tells this install's cookie from those of others on the same host name.
        self.name = hashlib.sha256(b"name" + self._secret).hexdigest()[:8]

    def begin(self, guest: str = "", *, days: float = OWNER_DAYS) -> str:
        """A session of the owner, or of a guest link."""
        one, expires = secrets.token_urlsafe(24), int(time.time() + days * _DAY)
        self._store.change("DELETE FROM sessions WHERE expires < ?", (time.time(),))
        self._store.change("INSERT INTO sessions VALUES (?, ?, ?)", (_key(one), guest, expires))
        return self._signed("g" if guest else "o", one, expires)

    def visitor(self) -> str:
        """A session of somebody unknown; nothing is kept of it here."""
        return self._signed("v", secrets.token_hex(16), int(time.time() + VISITOR_DAYS * _DAY))

    def read(self, cookie: str) -> tuple[str, str] | None:
        """(kind, id of the guest link or of the visitor) of a session that holds, else None."""
        kind, one, expires = self._checked(cookie)
        if not kind or int(expires) < time.time():
            return None
        if kind == "v":
            return kind, one
        rows = self._store.rows("SELECT guest FROM sessions WHERE key = ? AND expires > ?", (_key(one), time.time()))
        return (kind, rows[0][0]) if rows and bool(rows[0][0]) is (kind == "g") else None

    def end(self, cookie: str) -> None:
        """Sign out: the same cookie opens nothing any more."""
        kind, one, _ = self._checked(cookie)
        if kind:
            self._store.change("DELETE FROM sessions WHERE key = ?", (_key(one),))

    def end_owners(self) -> None:
        """After a new password: whoever knew the old one is out."""
        self._store.change("DELETE FROM sessions WHERE guest = ''")

    def _signed(self, kind: str, one: str, expires: int) -> str:
        said = f"{kind}.{one}.{expires}"
        return f"{said}.{self._signature(said)}"

    def _checked(self, cookie: str) -> tuple[str, str, str]:
        """(kind, id, expires), or empty words for what was not signed here."""
        said, _, signature = cookie[:400].rpartition(".")
        parts = said.split(".")
        genuine = hmac.compare_digest(signature.encode(), self._signature(said).encode())
        if not genuine or len(parts) != 3 or parts[0] not in _KINDS:
            return "", "", ""
        return parts[0], parts[1], parts[2]

    def _signature(self, said: str) -> str:
        return hmac.new(self._secret, said.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _key(one: str) -> str:
    return hashlib.sha256(one.encode()).hexdigest()
