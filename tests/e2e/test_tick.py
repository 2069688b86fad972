"""Consent in a browser: the tick is about what is there, and what was stated can be taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

TICKED = "() => document.querySelector('#tab-reference-panel .consent input').checked"
SAYS = "text => document.querySelector('.stating')?.innerText.includes(text)"


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """Nobody else's in this test run: what is withdrawn here is refused everywhere."""
    Image.new("RGB", (120, 140), (31, 87, 143)).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def visible(page: Any, selector: str) -> Any:
    return page.locator(f"{selector}:visible").first


def give(page: Any, face: Path) -> None:
    page.get_by_role("tab", name="Reference").click()
    page.locator(".faces input[type=file]").first.set_input_files(face)
    page.wait_for_selector(".faces img")
    page.wait_for_function(SAYS, arg="character1 (a picture)")


def look(page: Any) -> None:
    """Open the About tab, which may have no room in the row of tabs."""
    if page.get_by_role("tab", name="About").count():
        page.get_by_role("tab", name="About").first.click()
    else:
        page.get_by_label("More tabs").click()
        page.locator(".overflow-dropdown button").filter(has_text="About").click()


def generate(page: Any) -> None:
    visible(page, ".prompt textarea").fill("character1 waves")
    visible(page, "button.generate").click()


def test_a_tick_does_not_survive_another_face(visit: Any, face: Path, picture: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Reference").click()
    page.wait_for_function(SAYS, arg="nobody yet")
    visible(page, ".consent input").check()
    give(page, face)
    page.wait_for_function(f"() => !({TICKED})()")
    visible(page, ".consent input").check()
    page.wait_for_timeout(1000)
    assert page.evaluate(TICKED), "it stays while nothing changes"
    visible(page, ".faces").get_by_label("Clear").click()
    page.locator(".faces input[type=file]").first.set_input_files(picture)
    page.wait_for_selector(".faces img")
    page.wait_for_function(f"() => !({TICKED})()")
    generate(page)
    page.wait_for_selector('.card.failed [data-field="consent"]')
    assert page.outside == [] and page.faults == []


def test_an_example_asks_too(visit: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Reference").click()
    visible(page, ".consent input").check()
    visible(page, "button.example").click()
    page.wait_for_function(SAYS, arg="character1 (a picture and a voice)")
    page.wait_for_function(f"() => !({TICKED})()")


def test_a_face_that_comes_without_an_upload_is_named_and_asked_for(visit: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Reference").click()
    page.wait_for_function(SAYS, arg="nobody yet")
    visible(page, ".consent input").check()
    page.get_by_role("button", name="Face alone").click()
    page.wait_for_function(SAYS, arg="character1 (a picture)")
    page.wait_for_function(f"() => !({TICKED})()")
    visible(page, ".consent input").check()
    visible(page, "button.generate").click()
    page.wait_for_selector(".card.finished")
    page.reload()
    page.get_by_role("tab", name="Reference").click()
    page.wait_for_function(SAYS, arg="nobody yet")
    visible(page, ".consent input").check()
    page.get_by_role("tab", name="Gallery").click()
    page.locator(".search input").fill("character1 in the sun")
    page.wait_for_function("document.querySelectorAll('.tile').length === 1")
    page.locator(".tile .open").first.click()
    page.get_by_role("button", name="Use these settings").click()
    page.wait_for_function(SAYS, arg="character1 (a picture)")
    page.wait_for_function(f"() => !({TICKED})()")
    assert page.outside == [] and page.faults == []


def test_what_was_withdrawn_is_refused_until_it_is_stated_anew(visit: Any, face: Path) -> None:
    page = visit()
    give(page, face)
    visible(page, ".consent input").check()
    generate(page)
    page.wait_for_selector(".card.finished")
    look(page)
    row = page.locator(".statements li").first
    row.wait_for()
    assert "character1 a picture" in row.inner_text() and "holds until" in row.inner_text()
    row.get_by_role("button").click()
    page.wait_for_selector(".statements li[data-state=withdrawn]")
    page.get_by_role("tab", name="Reference").click()
    generate(page)
    page.wait_for_selector('.card.failed [data-field="consent"]')
    said = page.locator(".card").inner_text()
    assert "was withdrawn on" in said and "python" not in said
    look(page)
    page.locator(".statements li").first.get_by_role("button").click()
    page.wait_for_selector(".needs .alert")
    visible(page, ".anew input").check()
    page.locator(".statements li").first.get_by_role("button").click()
    page.wait_for_selector(".statements li[data-state=valid]")
    assert not page.locator(".anew:visible").count()
    page.get_by_role("tab", name="Reference").click()
    assert page.evaluate(TICKED)
    generate(page)
    page.wait_for_selector(".card.finished")
    assert page.outside == [] and page.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_it(visit: Any, face: Path, scheme: str) -> None:
    page = visit(390, 844, color_scheme=scheme, is_mobile=True, has_touch=True)
    give(page, face)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    look(page)
    page.wait_for_selector(".statements p, .statements li")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
