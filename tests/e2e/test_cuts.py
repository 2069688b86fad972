"""The line between browser and studio is cut at every stage; what was typed and what is made are there again.

What a browser keeps is the form and the id of a job; the studio goes on without it. Faces and voices are not kept
by the browser, and the page says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PATIENCE, Studio, visits
from tests.e2e.cutting_proxy import CuttingProxy
from wan_app.runtime.job import JobView
from wan_app.runtime.ledger import Ledger

PLAYS = "() => { const v = document.querySelector('.card.finished video'); return v && v.currentTime > 0.1 }"
# The page loads itself anew once the studio answers again: then this is gone.
MARK, RELOADED = "window.before = true", "() => !window.before && document.querySelector('button.generate')"
LOADED = "() => localStorage.getItem('wan-app-session') !== null"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One of its own: its jobs are counted."""
    running = Studio(tmp_path_factory.mktemp("cut"))
    running.start()
    yield running
    running.stop()
    assert "Traceback" not in running.log(), running.log()


@pytest.fixture
def proxy(studio: Studio) -> Iterator[CuttingProxy]:
    one = CuttingProxy(studio.port)
    yield one
    one.close()


@pytest.fixture
def visit(chromium: Any, proxy: CuttingProxy) -> Iterator[Any]:
    yield from visits(chromium, proxy)


def jobs(studio: Studio, prompt: str) -> list[JobView]:
    """What the studio knows of it, past the page."""
    ledger = Ledger(studio.data_dir / "ledger.sqlite3")
    found = [one for one in ledger.jobs() if one.request.prompt == prompt]
    ledger.close()
    return found


def write(page: Any, prompt: str) -> None:
    page.locator(".prompt textarea:visible").first.fill(prompt)
    page.wait_for_function("text => (localStorage.getItem('wan-app-text') ?? '').length > 0", arg=prompt)
    page.wait_for_timeout(300)


def generate(page: Any) -> None:
    page.locator("button.generate:visible").first.click()


def typed(page: Any) -> str:
    return str(page.locator(".prompt textarea").first.input_value())


def mend(page: Any, proxy: CuttingProxy, *, after: int = 2000) -> None:
    """Let it be cut for so long (ms), mend it, and wait until the page is there anew."""
    page.wait_for_timeout(after)
    proxy.mend()
    page.wait_for_function(RELOADED)


def blink(page: Any, proxy: CuttingProxy) -> None:
    """A line that is gone for a moment in which nobody asks for anything."""
    proxy.cut()
    page.wait_for_timeout(3000)  # between two of the page's tries to connect, every 2 s, should it make any
    proxy.mend()


def done(page: Any, studio: Studio, prompt: str) -> None:
    """The video plays, was made once, and the form still holds its words."""
    # On a phone the stage is below the form, and what cannot be seen is not played.
    page.locator(".card").scroll_into_view_if_needed()
    page.wait_for_function(PLAYS)
    assert page.locator(".card .asked").inner_text() == prompt
    assert typed(page) == prompt
    assert [one.state for one in jobs(studio, prompt)] == ["finished"]


def test_while_the_page_loads(chromium: Any, proxy: CuttingProxy) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    cut = threading.Event()
    proxy.cut_at(b"GET /assets/", after=2000, then=cut.set)
    page.goto(proxy.url, wait_until="commit")
    assert cut.wait(60)
    page.wait_for_timeout(3000)
    proxy.mend()
    page.goto(proxy.url)
    page.wait_for_function(LOADED)
    page.locator("button.generate:visible").first.wait_for()
    context.close()


def test_while_words_are_typed(visit: Any, proxy: CuttingProxy) -> None:
    page = visit()
    page.get_by_text("Tall 3:5").locator("visible=true").first.click()
    write(page, "words not yet sent")
    blink(page, proxy)
    assert typed(page) == "words not yet sent", "nothing was asked: the page did not even notice"
    page.reload()
    page.wait_for_function("() => document.querySelector('.prompt textarea')?.value === 'words not yet sent'")
    assert page.get_by_label("Tall 3:5").locator("visible=true").is_checked()


def test_while_a_face_is_sent(visit: Any, proxy: CuttingProxy, picture: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Reference").click()
    cut = threading.Event()
    proxy.cut_at(b"POST /gradio_api/upload", after=0, then=cut.set)
    page.locator(".faces input[type=file]").first.set_input_files(picture)
    assert cut.wait(60)
    page.wait_for_timeout(3000)
    proxy.mend()
    page.reload()
    page.wait_for_function(LOADED)
    page.get_by_role("tab", name="Reference").click()
    page.locator(".faces input[type=file]").first.set_input_files(picture)
    page.wait_for_selector(".faces img")
    blink(page, proxy)
    page.reload()
    page.wait_for_function(LOADED)
    page.get_by_role("tab", name="Reference").click()
    page.get_by_text("Give pictures and recordings again.").locator("visible=true").wait_for()
    assert not page.locator(".faces img").count()


def test_before_generate_reaches_the_studio(visit: Any, studio: Studio, proxy: CuttingProxy) -> None:
    page = visit()
    write(page, "never arrived")
    page.evaluate(MARK)
    proxy.cut()
    generate(page)
    mend(page, proxy)
    page.wait_for_function("() => document.querySelector('.prompt textarea')?.value === 'never arrived'")
    assert jobs(studio, "never arrived") == []
    generate(page)
    done(page, studio, "never arrived")


@pytest.mark.parametrize("away", [2000, 25_000], ids=["soon back", "back when it is done"])
def test_before_the_answer_to_generate_is_back(visit: Any, studio: Studio, proxy: CuttingProxy, away: int) -> None:
    """The browser knows of no job; an earlier one is on its stage."""
    page = visit()
    write(page, f"an earlier one {away}")
    generate(page)
    page.wait_for_function(PLAYS)
    prompt = f"slowly and lost {away}" if away < 10_000 else f"lost {away}"
    write(page, prompt)
    page.evaluate(MARK)
    proxy.cut_at(b'"' + prompt.encode(), after=0)
    generate(page)
    mend(page, proxy, after=away)
    page.wait_for_function("text => document.querySelector('.card .asked')?.innerText === text", arg=prompt)
    done(page, studio, prompt)


def test_a_browser_that_asks_again_by_itself_gets_one_video(visit: Any, studio: Studio, proxy: CuttingProxy) -> None:
    """As browsers do when a connection that they kept is reset before any answer came."""
    page = visit()
    write(page, "asked for twice")
    proxy.cut_at(b'"asked for twice', after=0, then=proxy.mend)
    generate(page)
    done(page, studio, "asked for twice")


@pytest.mark.parametrize("width, height", [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_while_it_is_drawn(visit: Any, studio: Studio, proxy: CuttingProxy, width: int, height: int) -> None:
    page = visit(width, height)
    studio.hold()
    prompt = f"a walk, held {width}"
    write(page, prompt)
    generate(page)
    page.wait_for_selector(".card.running img")
    page.evaluate(MARK)
    proxy.cut()
    mend(page, proxy)
    studio.let_go()
    done(page, studio, prompt)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_while_it_waits_for_another(visit: Any, studio: Studio, proxy: CuttingProxy) -> None:
    page = visit()
    studio.hold()
    write(page, "first, held")
    generate(page)
    page.wait_for_selector(".card.running")
    write(page, "second")
    generate(page)
    page.wait_for_selector("#waiting li")
    page.evaluate(MARK)
    proxy.cut()
    studio.let_go()
    mend(page, proxy)
    page.wait_for_function(PLAYS)
    until = 60
    while [one.state for one in jobs(studio, "second")] != ["finished"] and until:
        page.wait_for_timeout(1000)
        until -= 1
    assert [len(jobs(studio, prompt)) for prompt in ("first, held", "second")] == [1, 1]
    page.reload()
    page.wait_for_function(PLAYS)


def test_it_is_done_while_the_line_is_cut(visit: Any, studio: Studio, proxy: CuttingProxy) -> None:
    page = visit()
    studio.hold()
    write(page, "held and done in the dark")
    generate(page)
    page.wait_for_selector(".card.running")
    page.evaluate(MARK)
    proxy.cut()
    studio.let_go()
    mend(page, proxy, after=15_000)
    done(page, studio, "held and done in the dark")


def test_while_the_video_is_fetched(visit: Any, studio: Studio, proxy: CuttingProxy) -> None:
    """Whether or not the page was waiting for anything else at that moment, and so loads itself anew."""
    page = visit()
    write(page, "half a film")
    cut = threading.Event()
    proxy.cut_at(b"GET /files/", after=5000, then=cut.set)
    generate(page)
    page.wait_for_selector(".card.finished")
    assert cut.wait(60)
    page.wait_for_timeout(2000)
    proxy.mend()
    done(page, studio, "half a film")
