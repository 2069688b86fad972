"""The door: whether one has to knock, with what one comes in, and who one then is."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

from wan_app.errors import InvalidRequest, WanAppError
from wan_app.settings import Settings
from wan_app.sharing.guests import Guests
from wan_app.sharing.passwords import LockOut, check_strength, hash_password, is_password, make_password
from wan_app.sharing.sessions import Sessions
from wan_app.sharing.store import Store
from wan_app.sharing.who import GUEST, OWNER, VISITOR, Who

# open: whoever reaches the page is its owner (this computer alone does). password: a password or a guest
# link. demo: everybody comes in, each with a place of their own (a Space without a password).
Mode = Literal["open", "password", "demo"]
log = logging.getLogger(__name__)


class Refused(WanAppError):
    """A wrong password or link; `wait` seconds before the next try is looked at."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Door:
    """Tells who somebody is by their cookie, and gives one to those who may come in."""

    def __init__(self, store: Store, mode: Mode) -> None:
        self.mode, self._store = mode, store
        self.guests, self.sessions, self._tries = Guests(store), Sessions(store), LockOut()

    def who(self, cookie: str) -> Who | None:
        """Whose session this is; without one that holds, the owner where the door is open, else nobody."""
        kind, one = self.sessions.read(cookie) or ("", "") if cookie else ("", "")
        if kind == "o":
            return replace(OWNER, session=True)
        if kind == "g":
            guest = self.guests.get(one)
            if guest.state == "open":
                return Who("guest", GUEST + one, guest.label, session=True)
        if kind == "v" and self.mode == "demo":
            return Who("visitor", VISITOR + one, session=True)
        return OWNER if self.mode == "open" else None

    def enter(self, password: str, address: str) -> str:
        """The cookie of a session of the owner. Takes 0.2 s. Raises Refused."""
        self._may_try(address)
        hashed = self._store.fact("password")
        if hashed is None or not is_password(password, hashed):
            log.warning("wrong password", extra={"address": address})
            raise Refused("That is not the password")
        self._tries.right(address)
        return self.sessions.begin()

    def visit(self, token: str, address: str) -> str:
        """The cookie of a session of the guest link that `token` belongs to. Raises Refused."""
        guest = self.guests.of_token(token)
        if guest is None:
            self._may_try(address)
            log.warning("wrong guest link", extra={"address": address})
            raise Refused("This link is not known, has expired or was taken back")
        days = max(0.0, guest.expires - guest.created) / 86_400
        return self.sessions.begin(guest.id, days=days)

    def _may_try(self, address: str) -> None:
        if wait := self._tries.wait(address):
            raise Refused(f"Too many wrong ones. Try again in {_words(wait)}", wait)


def open_door(settings: Settings, store: Store) -> tuple[Door, str]:
    """The door that these settings ask for, and what to tell whoever starts the studio.

    Reachable by others, it never stands open: without a password of theirs or of an earlier start, one is
    made, and told this once.

    Raises:
        InvalidRequest: a password that is too weak.
    """
    given, sharing = settings.sharing.password, settings.sharing
    if sharing.new_password:
        forget_password(store)
    if given is not None:
        check_strength(given)
        _keep(store, given)
        return Door(store, "password"), "It asks for the password you gave."
    if sharing.space and not sharing.share:
        return Door(store, "demo"), "A public demo: no password, and everybody has a place of their own."
    if settings.local:
        return Door(store, "open"), ""
    if store.fact("password"):
        return Door(store, "password"), "It asks for the password of the last time (--new-password makes another)."
    made = make_password()
    _keep(store, made)
    return Door(store, "password"), f"Others can reach it, so it asks for this password, shown only now: {made}"


def forget_password(store: Store) -> None:
    """The next shared start makes a new one; whoever is signed in is out."""
    store.change("DELETE FROM facts WHERE name = 'password'")
    Sessions(store).end_owners()


def _keep(store: Store, password: str) -> None:
    known = store.fact("password")
    if known is None or not is_password(password, known):
        store.remember("password", hash_password(password))
        Sessions(store).end_owners()


def _words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1, round(seconds))} s"


def check_sharing(settings: Settings) -> None:
    """Refuse settings of sharing that can't be meant. Raises InvalidRequest."""
    path = settings.sharing.root_path
    if path and (not path.startswith("/") or "//" in path or any(letter in path for letter in "?#\\ \"<>")):
        raise InvalidRequest("root_path", repr(path)[:60], "a path such as /studio")
