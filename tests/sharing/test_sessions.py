"""Sessions: forged, expired, ended and foreign ones open nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_app.sharing import sessions as module
from wan_app.sharing.sessions import Sessions
from wan_app.sharing.store import Store


@pytest.fixture
def sessions(store: Store) -> Sessions:
    return Sessions(store)


def test_each_kind_is_known_again(sessions: Sessions) -> None:
    assert sessions.read(sessions.begin()) == ("o", "")
    assert sessions.read(sessions.begin("abc")) == ("g", "abc")
    kind, one = sessions.read(sessions.visitor()) or ("", "")
    assert kind == "v" and len(one) == 32


def test_every_changed_letter_is_noticed(sessions: Sessions) -> None:
    cookie = sessions.begin()
    for place in range(len(cookie)):
        other = "A" if cookie[place] != "A" else "B"
        assert sessions.read(cookie[:place] + other + cookie[place + 1:]) is None


@pytest.mark.parametrize("cookie", ["", ".", "o", "o.x.9999999999.", "a.b.c.d.e", "\x00", "é" * 300, "o..9999999999.0"])
def test_nonsense_is_nobody(sessions: Sessions, cookie: str) -> None:
    assert sessions.read(cookie) is None


def test_a_session_that_was_ended_cannot_be_replayed(sessions: Sessions) -> None:
    cookie, other = sessions.begin(), sessions.begin()
    sessions.end(cookie)
    assert sessions.read(cookie) is None and sessions.read(other) == ("o", "")
    sessions.end_owners()
    assert sessions.read(other) is None


def test_a_guest_cannot_pass_for_the_owner(sessions: Sessions, store: Store) -> None:
    cookie = sessions.begin("abc")
    store.change("UPDATE sessions SET guest = ''")
    assert sessions.read(cookie) is None


def test_time_ends_them(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, visitor, now = sessions.begin(days=1), sessions.visitor(), module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 86_401)
    assert sessions.read(owner) is None and sessions.read(visitor) is not None
    monkeypatch.setattr(module.time, "time", lambda: now + 91 * 86_400)
    assert sessions.read(visitor) is None


def test_another_install_knows_neither_name_nor_signature(sessions: Sessions, tmp_path: Path) -> None:
    other = Sessions(Store(tmp_path / "other" / "sharing.sqlite3"))
    assert other.name != sessions.name and other.read(sessions.visitor()) is None


def test_a_restart_keeps_them_and_the_file_holds_no_cookie(sessions: Sessions, store: Store) -> None:
    cookie = sessions.begin()
    again = Sessions(Store(store.path))
    assert again.read(cookie) == ("o", "")
    secret = cookie.split(".")[1].encode()
    files = list(store.path.parent.iterdir())
    assert not any(secret in file.read_bytes() for file in files)
    assert store.path.stat().st_mode & 0o077 == 0 and store.path.parent.stat().st_mode & 0o077 == 0
