"""Gallery and cast in a headless Chromium, at a desk and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_browser import SOME_TEXT, finished, generate, write

SIZES = {"desk": {}, "phone": {"width": 390, "height": 844, "is_mobile": True, "has_touch": True}}


def go(page: Any, tab: str) -> None:
    """To a tab, which may be in the menu of those that find no room."""
    shown = page.locator(f'#tabs > .tab-wrapper .tab-container button[role="tab"]:has-text("{tab}"):visible')
    if shown.count():
        shown.first.click()
    else:
        page.locator("#tabs .overflow-menu > button").first.click()
        page.locator("#tabs .overflow-dropdown button", has_text=tab).click()


def make(page: Any, prompt: str) -> None:
    go(page, "Text")
    write(page, prompt)
    before = page.locator(".card.finished .asked").all_inner_texts()
    generate(page)
    page.wait_for_function(SOME_TEXT, arg=[".card.finished .asked", prompt])
    assert prompt not in before
    finished(page)


def look_for(page: Any, words: str, tiles: int) -> None:
    page.locator(".search input").fill(words)
    page.wait_for_function(f"document.querySelectorAll('.tile').length === {tiles}")


@pytest.mark.parametrize("size", SIZES)
def test_found_opened_used_again_and_deleted(visit: Any, size: str) -> None:
    page = visit(**SIZES[size])
    prompt = f"a lighthouse in the fog seen from a {size}"
    make(page, prompt)
    go(page, "Gallery")
    look_for(page, prompt, 1)
    page.wait_for_function("document.querySelector('.tile img').naturalWidth === 360")
    page.locator(".tile .open").click()
    page.wait_for_selector(".detail video")
    page.wait_for_function(SOME_TEXT, arg=[".facts", "Watermark"])
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="Pin", exact=True).click()
    page.wait_for_selector(".tile svg.pin")
    with page.expect_download() as download:
        page.locator("#gallery-detail").get_by_text("Download").click()
    assert download.value.suggested_filename.startswith("a-lighthouse")
    page.get_by_role("button", name="Use these settings").click()
    page.wait_for_selector('button[role="tab"][aria-selected="true"]:has-text("Text"):visible')
    assert page.locator("#tab-text .prompt textarea").input_value() == prompt
    go(page, "Gallery")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator(".sure").get_by_role("button", name="Delete").click()
    page.wait_for_selector(".bare:has-text('Nothing was found')")
    assert page.outside == [] and page.faults == []


def test_compare_take_along_delete_and_bring_back(visit: Any, tmp_path: Path) -> None:
    page = visit()
    for number in (1, 2):
        make(page, f"a zeppelin over hill number {number}")
    go(page, "Gallery")
    look_for(page, "zeppelin hill", 2)
    for number in (0, 1):
        page.locator(".tile").nth(number).hover()
        page.locator(".tick input").nth(number).check()
    page.locator("[data-act=compare]").click()
    page.wait_for_function("document.querySelectorAll('.compare video').length === 2")
    page.locator(".chosen summary", has_text="Export").click()
    with page.expect_download() as download:
        page.locator('[data-export=""]').click()
    download.value.save_as(tmp_path / "taken.zip")
    page.locator(".chosen summary", has_text="Delete").click()
    page.locator("[data-act=delete]").click()
    page.wait_for_selector("#gallery-told:has-text('2 deleted')")
    page.locator(".bring input").set_input_files(tmp_path / "taken.zip")
    page.wait_for_selector("#gallery-told:has-text('2 brought in')")
    page.wait_for_function("document.querySelectorAll('.tile').length === 2")
    assert page.locator(".tick input:checked").count() == 0
    page.locator(".tile .open").first.click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_selector("#tab-image .pictures img")
    page.wait_for_function(SOME_TEXT, arg=["#tab-image .prompt textarea", "zeppelin"])
    assert page.outside == [] and page.faults == []


@pytest.mark.parametrize("size", SIZES)
def test_a_job_that_ends_shows_in_the_open_gallery_and_disturbs_nothing(visit: Any, studio: Any, size: str) -> None:
    studio.hold()
    page = visit(**SIZES[size])
    name = f"balloon of the {size}"
    for colour in ("red", "green"):
        make(page, f"{name} in {colour}")
    write(page, f"{name} in blue held")
    generate(page)
    page.wait_for_selector(".card.running")
    write(page, f"{name} in white")
    generate(page)
    page.wait_for_selector("#waiting li")
    go(page, "Gallery")
    look_for(page, name, 2)
    page.locator(".tile .open").first.click()
    page.wait_for_selector(".detail video")
    page.locator(".tile .tick input").nth(1).check()
    page.locator(".chosen summary", has_text="Delete").click()
    page.locator(".tile .open").nth(1).focus()
    page.evaluate("document.querySelector('.detail video').dataset.same = 'yes'")
    search = page.locator(".search input")
    page.evaluate("window.scrollTo(0, 40)")
    before = page.evaluate("window.scrollY")
    studio.let_go()
    # Two that end between two looks arrive together.
    page.wait_for_function("document.querySelectorAll('.tile').length === 4")
    assert page.evaluate("document.querySelector('.detail video').dataset.same") == "yes", "what is open stays"
    assert page.locator(".tile.current .said").inner_text() == f"{name} in green"
    assert page.locator(".tile:has(.tick input:checked) .said").all_inner_texts() == [f"{name} in red"]
    assert page.locator(".chosen details.danger").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.closest('.tile').innerText").strip().endswith("in red")
    assert search.input_value() == name and page.evaluate("window.scrollY") == before
    # Another look is another look: nothing is chosen any more.
    look_for(page, f"{name} in red", 1)
    assert page.locator(".tick input:checked").count() == 0
    assert page.outside == [] and page.faults == []


def test_nobody_asks_for_tiles_that_nobody_sees(visit: Any) -> None:
    page = visit()
    asked: list[str] = []
    go(page, "Gallery")
    page.wait_for_selector("#tiles .tiles, #tiles .bare")
    go(page, "Text")
    page.on("request", lambda one: asked.append(one.post_data or "") if "/run/" in one.url else None)
    make(page, "a kite")
    page.wait_for_timeout(1500)
    assert not [one for one in asked if '"fresh"' in one or '"videos"' in one]


@pytest.mark.parametrize("size", SIZES)
def test_somebody_joins_the_cast_is_called_by_name_and_leaves(
    visit: Any, picture: Path, voice: Path, size: str
) -> None:
    name = {"desk": "Odile", "phone": "Ruben"}[size]
    page = visit(**SIZES[size])
    go(page, "Cast")
    form = page.locator("#cast-form")
    form.get_by_label("Name").fill(name)
    form.locator(".faces input[type=file]").first.set_input_files(picture)
    page.wait_for_selector("#cast-form .faces img")
    form.get_by_role("button", name="Upload file").click()
    form.locator(".recording input[type=file]").set_input_files(voice)
    page.wait_for_selector("#cast-form .recording .waveform-container")
    form.get_by_role("button", name="Add to the cast").click()
    page.wait_for_selector("#cast-told .alert[data-field=consent]")
    form.locator(".consent input").check()
    form.get_by_role("button", name="Add to the cast").click()
    card = page.locator(".person", has_text=name)
    card.wait_for()
    assert "1 picture and a voice" in card.inner_text() and "Consent until" in card.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    card.get_by_role("button", name="Hear the voice").click()
    page.wait_for_selector("#cast .heard audio")
    go(page, "Text")
    page.locator(f".chip:visible[data-name={name}]").click()
    page.keyboard.type("waves at the beach")
    page.wait_for_selector(f".chip:visible[data-name={name}][aria-pressed=true]")
    generate(page)
    page.wait_for_function(SOME_TEXT, arg=[".card.finished .asked", f"{name} waves at the beach"])
    assert f"{name} is from your cast" in page.locator(".card.finished").inner_text()
    go(page, "Cast")
    page.wait_for_selector(f".person:has-text('{name}'):has-text('83\u00a0% like the pictures')")
    card.locator("summary").click()
    card.get_by_role("button", name=f"Remove {name}").click()
    page.wait_for_function(SOME_TEXT, arg=["#cast-told", f"{name} is gone"])
    assert page.outside == [] and page.faults == []
