"""Passwords are hashed, strong, and not to be guessed by trying."""

from __future__ import annotations

import re

import pytest

from wan_app.errors import InvalidRequest
from wan_app.sharing.passwords import LockOut, check_strength, hash_password, is_password, make_password


class Clock:
    """A time that the test turns on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_made_one_is_strong_and_never_the_same() -> None:
    made = {make_password() for _ in range(50)}
    assert len(made) == 50 and all(re.fullmatch(r"([a-z2-9]{4}-){3}[a-z2-9]{4}", one) for one in made)
    for one in made:
        check_strength(one)


def test_what_is_kept_is_a_scrypt_hash_that_costs_something() -> None:
    hashed = hash_password("correct horse battery")
    kind, n, r, *_ = hashed.split("$")
    assert kind == "scrypt" and int(n) * int(r) * 128 >= 64 * 2**20 and "horse" not in hashed
    assert is_password("correct horse battery", hashed) and not is_password("correct horse batterx", hashed)
    assert hash_password("correct horse battery") != hashed


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaaaaaa", "x" * 1000])
def test_weak_ones_are_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_strength(password)
    assert caught.value.field == "password" and (not password or password not in str(caught.value))


def test_odd_characters_are_characters(quick: None) -> None:
    assert is_password("пароль🦊\ud800", hash_password("пароль🦊\ud800"))


def test_wrong_tries_of_one_address_wait_longer_each_time() -> None:
    clock = Clock()
    tries, waits = LockOut(clock), []
    for _ in range(30):
        if wait := tries.wait("10.0.0.9"):
            waits.append(wait)
            clock.now += wait
    assert waits[:4] == [1, 2, 4, 8] and max(waits) == LockOut.LONGEST
    assert tries.wait("10.0.0.8") == 0, "others are not concerned"


def test_a_right_one_forgives_and_so_does_time() -> None:
    clock = Clock()
    tries = LockOut(clock)
    for _ in range(5):
        assert tries.wait("a") == 0
    tries.right("a")
    for _ in range(5):
        assert tries.wait("a") == 0
    assert tries.wait("a") > 0
    clock.now += LockOut.FORGET + 1
    assert tries.wait("a") == 0


def test_very_many_addresses_make_everybody_wait_but_not_for_long() -> None:
    clock = Clock()
    tries = LockOut(clock)
    waits = [tries.wait(f"10.0.{one // 250}.{one % 250}") for one in range(200)]
    assert waits[:50] == [0] * 50 and any(waits[50:])
    clock.now += LockOut.LONGEST_OVERALL
    assert tries.wait("192.168.7.7") == 0


def test_a_network_of_ipv6_is_one_address() -> None:
    tries = LockOut(Clock())
    waits = [tries.wait(f"2001:db8::{one:x}") for one in range(1, 8)]
    assert waits[:5] == [0] * 5 and waits[5] > 0
