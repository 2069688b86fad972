"""Guest links: expiring, revocable, and with quotas that hold under pressure."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from wan_app.errors import InvalidRequest
from wan_app.sharing import guests as module
from wan_app.sharing.guests import VISITOR_PLACES, Guests
from wan_app.sharing.store import Store


@pytest.fixture
def guests(store: Store) -> Guests:
    return Guests(store)


def make(guests: Guests, owner: str, seconds: float = 2.0, living: int = 0) -> None:
    with guests.admitted(owner, seconds, lambda: living):
        pass


def test_a_link_opens_until_it_is_taken_back_or_old(guests: Guests, monkeypatch: pytest.MonkeyPatch) -> None:
    one, token = guests.create(label=" Ann \n ", days=2)
    other, second = guests.create()
    assert guests.of_token(token) == one and one.label == "Ann" and len(token) >= 32
    assert [row.id for row in guests.all()] == [one.id, other.id]
    assert guests.revoke(one.id).state == "revoked" and guests.of_token(token) is None
    now = module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 8 * 86_400)
    assert guests.of_token(second) is None and guests.get(other.id).state == "expired"
    with pytest.raises(InvalidRequest, match="a link that is expired"):
        make(guests, f"guest:{other.id}")


def test_the_token_is_kept_by_its_hash_only(guests: Guests, store: Store) -> None:
    _, token = guests.create()
    assert not any(token.encode() in file.read_bytes() for file in store.path.parent.iterdir())


@pytest.mark.parametrize("given", [
    {"days": 0}, {"days": float("nan")}, {"jobs": -1}, {"jobs": True}, {"seconds": "many"}, {"places": None},
    {"days": 1e9}, {"label": "a\u202eb"},
])
def test_limits_that_are_none_are_named(guests: Guests, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        guests.create(**given)
    assert caught.value.field == next(iter(given)) and guests.all() == []


def test_videos_seconds_and_places_run_out(guests: Guests) -> None:
    one, _ = guests.create(jobs=2, seconds=5, places=1)
    owner = f"guest:{one.id}"
    with pytest.raises(InvalidRequest, match="fewer than 1 at a time"):
        make(guests, owner, living=1)
    with pytest.raises(InvalidRequest, match="at most 5"):
        make(guests, owner, 5.1)
    make(guests, owner, 2)
    with pytest.raises(InvalidRequest, match="at most 3"):
        make(guests, owner, 3.5)
    make(guests, owner, 3)
    with pytest.raises(InvalidRequest, match="2 videos already made"):
        make(guests, owner, 0.0)
    assert (guests.get(one.id).used_jobs, guests.get(one.id).used_seconds) == (2, 5)


def test_what_could_not_be_queued_costs_nothing(guests: Guests) -> None:
    one, _ = guests.create(jobs=1, seconds=5)
    with pytest.raises(OSError), guests.admitted(f"guest:{one.id}", 5, lambda: 0):
        raise OSError("the disk is full")
    assert guests.get(one.id).used_jobs == 0 and guests.get(one.id).used_seconds == 0
    make(guests, f"guest:{one.id}", 5)


def test_many_at_once_do_not_get_more(guests: Guests, store: Store) -> None:
    one, _ = guests.create(jobs=5, seconds=1000)
    # Two processes on a data folder have no lock in common.
    others, made = [guests, Guests(Store(store.path))], []

    def ask(links: Guests) -> None:
        for _ in range(10):
            try:
                make(links, f"guest:{one.id}")
                made.append(1)
            except InvalidRequest:
                pass

    threads = [threading.Thread(target=ask, args=(links,)) for links in others * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 5 and guests.get(one.id).used_jobs == 5


def test_owners_have_no_quota_and_visitors_have_places(guests: Guests) -> None:
    make(guests, "local", 1e9, living=1000)
    make(guests, "visitor:x", 5, living=VISITOR_PLACES - 1)
    with pytest.raises(InvalidRequest, match="at a time"):
        make(guests, "visitor:x", 5, living=VISITOR_PLACES)
    with pytest.raises(InvalidRequest, match="the id of a guest link"):
        make(guests, "guest:nobody")
