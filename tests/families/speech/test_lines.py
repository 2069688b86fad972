"""Who says what: scripts, quotes of all kinds, and quotes that nobody speaks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from wan_app.families.speech.lines import spoken_lines
from wan_app.types import Character, GenerationRequest

ANN = Character(name="Ann", faces=(Path("a.png"),))
ANNA = Character(name="Anna", voice=Path("b.wav"))


def lines(prompt: str = "a park", say: str = "", people: tuple[Character, ...] = (ANN, ANNA)) -> list[tuple]:
    request = GenerationRequest(mode="reference", prompt=prompt, say=say, characters=people)
    return [tuple(line) for line in spoken_lines(request)]


def test_empty_lines_take_no_time() -> None:
    begin = time.perf_counter()
    assert lines(say="\n" * 20_000 + " Ann : Hi") == [("Ann", "Hi")] and time.perf_counter() - begin < 5


@pytest.mark.parametrize("prompt, said", [
    ('Ann says "Hello there."', [("Ann", "Hello there.")]),
    ("Ann says “Hello” and ANNA whispers «Bonjour»", [("Ann", "Hello"), ("Anna", "Bonjour")]),
    ("Anna sagt nichts. Ann asks: „Wie geht es?“", [("Ann", "Wie geht es?")]),
    ("Ann: \"Hi.\"\nAnna: 「やあ」", [("Ann", "Hi."), ("Anna", "やあ")]),
    ('"Hi," says Anna, "how\n are you?"', [("Anna", "Hi,"), ("Anna", "how are you?")]),
    ('"Hi," Ann says. "Ho," replied Anna.', [("Ann", "Hi,"), ("Anna", "Ho,")]),
    ('"Hi" whispered by Ann', [("Ann", "Hi")]),
    # Nobody that is known is named: the first with a voice speaks.
    ('A voice says "Run!"', [("Anna", "Run!")]),
    ("Ann says ‘it's me’ twice", [("Ann", "it's me")]),
    # No speech.
    ('a sign that says "OPEN"', []),
    ('Ann walks past a shop called "Tell me"', []),
    ('Ann says hello to a dog named "Rex"', []),
    ('Ann shows "a card" and Anna says "Hello"', [("Anna", "Hello")]),
    ('the "best" park', []),
    ("Ann says 'no' to Anna's dog", []),
    ('Ann says "', []),
    ('Ann says "  "', []),
    ("Joanna: 'x'", []),
])
def test_quoted_speech_is_found_with_its_speaker(prompt: str, said: list[tuple]) -> None:
    assert lines(prompt) == said


@pytest.mark.parametrize("say, said", [
    ("Hello\n there.", [("Anna", "Hello there.")]),
    ("Ann: Hello.\nanna : Note: this.\nAnd that.", [("Ann", "Hello."), ("Anna", "Note: this. And that.")]),
    ("Well.\nAnn: Hello.", [("Anna", "Well."), ("Ann", "Hello.")]),
    ("Ann: \nAnna: Hi", [("Anna", "Hi")]),
    ("  \n", []),
])
def test_a_script_gives_each_character_its_lines(say: str, said: list[tuple]) -> None:
    assert lines(say=say) == said


def test_what_is_to_be_said_comes_before_quotes_in_the_prompt() -> None:
    assert lines('Ann says "Hello"', say="Goodbye") == [("Anna", "Goodbye")]


def test_nobody_speaks_with_a_voice_of_no_ones() -> None:
    assert lines('A man says "Hello"', people=()) == [(None, "Hello")]
    assert lines(say="Ann: Hello", people=()) == [(None, "Ann: Hello")]


def test_a_long_prompt_of_quotes_is_read_at_once() -> None:
    assert len(lines('Ann says "a" ' * 100)) == 100
    assert lines('"' * 1500) == []
