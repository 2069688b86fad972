"""The queue in the page: several jobs at once, put in another order, and a server killed under them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Studio, visits

ROWS = "() => [...document.querySelectorAll('#waiting li b')].map(one => one.textContent)"
CARD = "(document.querySelector('#card')?.textContent ?? '')"


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio of its own, for it is killed."""
    one = Studio(tmp_path_factory.mktemp("mortal"))
    one.start()
    yield one
    one.stop()


@pytest.fixture
def visit(chromium: Any, mortal: Studio) -> Iterator[Any]:
    yield from visits(chromium, mortal)


def ask(page: Any, prompt: str) -> None:
    page.locator(".prompt textarea:visible").first.fill(prompt)
    page.locator("button.generate:visible").first.click()


def rows_are(page: Any, *prompts: str) -> None:
    page.wait_for_function(f"wanted => JSON.stringify(({ROWS})()) === wanted", arg=_json(prompts))


def _json(prompts: tuple[str, ...]) -> str:
    return "[" + ",".join(f'"{one}"' for one in prompts) + "]"


@pytest.mark.parametrize("width, height", [(1280, 900), (390, 844)])
def test_a_queue_is_reordered_and_outlives_its_server(
    visit: Any, mortal: Studio, width: int, height: int, tmp_path: Path
) -> None:
    page = visit(width, height)
    first = f"{width} walks for ages"
    ask(page, first)
    page.wait_for_selector(".card.running")
    for prompt in ("b", "c", "d"):
        ask(page, prompt)
        page.wait_for_function(f"wanted => ({ROWS})().includes(wanted)", arg=prompt)
    rows_are(page, "b", "c", "d")
    page.get_by_role("button", name="Make it next: d").click()
    rows_are(page, "d", "b", "c")
    page.get_by_role("button", name="Remove from the queue: c").click()
    rows_are(page, "d", "b")
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.evaluate("window.before = true")
    mortal.process().kill()
    mortal.process().wait()
    mortal.start()
    # It polls a job that lives, so it loads itself anew; a reload of ours would cross with that one.
    page.wait_for_function("() => !window.before && document.querySelector('button.generate')")
    page.wait_for_function(f"wanted => {CARD}.includes(wanted)", arg=first)
    other = page.context.new_page()  # another tab of the same browser
    other.goto(mortal.url)
    other.wait_for_function(f"wanted => {CARD}.includes(wanted)", arg=first)
    rows_are(other, "d", "b")
    page.locator("button.cancel:visible").first.click()
    page.wait_for_selector(".card.cancelled")
    page.wait_for_selector("#waiting section", state="detached")
    page.locator(".prompt textarea:visible").first.fill("e")
    page.locator("button.generate:visible").first.click()
    page.wait_for_selector(".card.finished")
