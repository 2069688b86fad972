"""Calls that come twice under one key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wan_app.ui import once
from wan_app.ui.once import Once

ANSWER = [{"type": "http.response.start", "status": 200}, {"type": "http.response.body", "body": b"done"}]


def scope(key: bytes = b"k", path: str = "/gradio_api/run/predict") -> dict[str, Any]:
    return {"path": path, "headers": [(b"idempotency-key", key)]}


class Call:
    """A call that counts how often it was made, and answers when it may."""

    def __init__(self) -> None:
        self.made, self.may, self.fails = 0, asyncio.Event(), False

    async def __call__(self, send: Any) -> None:
        self.made += 1
        await self.may.wait()
        if self.fails:
            raise RuntimeError("went wrong")
        for message in ANSWER:
            await send(message)


class Sent(list[Any]):
    async def __call__(self, message: Any) -> None:
        self.append(message)


def test_the_second_gets_the_answer_of_the_first_while_it_is_made_and_after() -> None:
    async def story() -> None:
        asked, call, answers = Once(), Call(), [Sent(), Sent(), Sent()]
        both = [asyncio.create_task(asked("one", call, sent)) for sent in answers[:2]]
        await asyncio.sleep(0.01)
        call.may.set()
        await asyncio.gather(*both)
        await asked("one", call, answers[2])
        assert call.made == 1 and answers == [ANSWER] * 3
        await asked("another", call, Sent())
        assert call.made == 2

    asyncio.run(story())


def test_one_that_failed_is_made_by_the_next() -> None:
    async def story() -> None:
        asked, call, sent = Once(), Call(), Sent()
        call.fails = True
        first = asyncio.create_task(asked("one", call, Sent()))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(asked("one", call, sent))
        await asyncio.sleep(0.01)
        call.may.set()
        with pytest.raises(RuntimeError):
            await first
        call.fails = False
        await second
        assert call.made == 2 and sent == ANSWER

    asyncio.run(story())


def test_one_whose_caller_was_cut_off_is_made_by_the_next() -> None:
    async def story() -> None:
        asked, call, sent = Once(), Call(), Sent()
        first = asyncio.create_task(asked("one", call, Sent()))
        await asyncio.sleep(0.01)
        first.cancel()
        call.may.set()
        await asked("one", call, sent)
        assert call.made == 2 and sent == ANSWER

    asyncio.run(story())


def test_a_waiting_one_that_is_cut_off_does_not_harm_the_first() -> None:
    async def story() -> None:
        asked, call, sent = Once(), Call(), Sent()
        first = asyncio.create_task(asked("one", call, sent))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(asked("one", call, Sent()))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.sleep(0.01)
        call.may.set()
        await first
        assert call.made == 1 and sent == ANSWER

    asyncio.run(story())


def test_only_so_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "_KEPT", 2)

    async def story() -> None:
        asked, call = Once(), Call()
        call.may.set()
        for key in ("a", "b", "c", "c", "b", "a"):
            await asked(key, call, Sent())
        assert call.made == 4, "a was forgotten when c came"

    asyncio.run(story())


def test_the_same_call_is_of_the_same_owner_path_key_and_body() -> None:
    base = Once.key(scope(), "anna", b"{}")
    assert base is not None and base == Once.key(scope(), "anna", b"{}")
    others = [
        Once.key(scope(), "ben", b"{}"), Once.key(scope(b"j"), "anna", b"{}"), Once.key(scope(), "anna", b"[]"),
        Once.key(scope(path="/gradio_api/queue/join"), "anna", b"{}"), Once.key(scope(b"k{"), "anna", b"}"),
    ]
    assert base not in others and None not in others


@pytest.mark.parametrize("key", [b"", b"k" * 101])
def test_a_key_that_is_none_marks_nothing(key: bytes) -> None:
    assert Once.key(scope(key), "anna", b"{}") is None
    assert Once.key({"path": "/", "headers": []}, "anna", b"{}") is None
