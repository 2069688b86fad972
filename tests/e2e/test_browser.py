"""What a visitor does, in a headless Chromium against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PLAYING = "() => { const v = document.querySelector('.card video'); return v && v.currentTime > 0.3 && !v.paused }"
SOME_TEXT = "([s, t]) => [...document.querySelectorAll(s)].some(e => (e.value ?? e.textContent).includes(t))"
IN_SIGHT = "([s, t]) => [...document.querySelectorAll(s)].some(e => e.offsetParent && e.value === t)"
SIZE = "() => { const v = document.querySelector('.card video'); return [v.videoWidth, v.videoHeight] }"
NEW_NOTE = "was => { const n = document.querySelector('.card.finished .note'); return n && n.textContent !== was }"
HELD = "a long walk, held"


def visible(page: Any, selector: str) -> Any:
    return page.locator(f"{selector}:visible").first


def write(page: Any, prompt: str) -> None:
    visible(page, ".prompt textarea").fill(prompt)


def generate(page: Any) -> None:
    visible(page, "button.generate").click()


def finished(page: Any) -> None:
    page.wait_for_selector(".card.finished")
    page.wait_for_function(PLAYING)


def choose_model(page: Any, title: str) -> None:
    visible(page, ".model input").click()
    page.get_by_role("option").filter(has_text=title).locator("visible=true").click()


def test_text_tab_makes_a_video_that_plays(visit: Any) -> None:
    page = visit()
    write(page, "a red fox in the snow")
    generate(page)
    finished(page)
    assert page.evaluate(SIZE) == [512, 512]
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename.startswith("a-red-fox-in-the-snow-")
    assert page.outside == [] and page.faults == []


def test_image_tab_and_then_its_last_frame(visit: Any, picture: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Image").click()
    page.locator(".pictures input[type=file]").first.set_input_files(picture)
    page.wait_for_selector(".pictures img")
    page.get_by_text("Wide 5:3").locator("visible=true").first.click()
    page.wait_for_function(SOME_TEXT, arg=[".readout", "960 × 576"])
    write(page, "it walks to the right")
    generate(page)
    finished(page)
    page.get_by_role("tab", name="Text").click()
    before = page.locator(".pictures img").first.get_attribute("src")
    page.locator("#last-frame").click()
    page.wait_for_function("was => { const i = document.querySelector('.pictures img'); "
                           "return i && i.offsetParent && i.getAttribute('src') !== was }", arg=before)
    assert "-last.png" in page.locator(".pictures img").first.get_attribute("src")


def test_reference_tab_needs_consent_and_keeps_what_was_given(visit: Any, picture: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Reference").click()
    page.locator(".faces input[type=file]").first.set_input_files([picture, picture])
    page.wait_for_selector(".faces img")
    page.get_by_role("button", name="Insert name").locator("visible=true").click()
    page.wait_for_function(SOME_TEXT, arg=[".prompt textarea", "character1 "])
    visible(page, ".prompt textarea").press("End")
    visible(page, ".prompt textarea").type("dances")
    generate(page)
    page.wait_for_selector('.card.failed [data-field="consent"]')
    assert visible(page, ".prompt textarea").input_value() == "character1 dances"
    assert page.locator(".faces img").count() >= 2
    visible(page, ".consent input").check()
    generate(page)
    finished(page)


def test_a_reload_finds_the_running_job_and_the_words(visit: Any, studio: Any) -> None:
    studio.hold()
    page = visit()
    page.get_by_text("Wide 5:3").locator("visible=true").first.click()
    write(page, HELD)
    generate(page)
    page.wait_for_selector(".card.running img")
    page.reload()
    page.wait_for_selector(".card.running")
    assert visible(page, ".prompt textarea").input_value() == HELD
    studio.let_go()
    finished(page)
    page.reload()
    finished(page)
    assert visible(page, ".prompt textarea").input_value() == HELD
    assert page.get_by_label("Wide 5:3").locator("visible=true").is_checked()


def test_cancel_from_a_second_tab_and_the_next_job_starts_clean(visit: Any, studio: Any) -> None:
    studio.hold()
    page = visit()
    write(page, HELD)
    generate(page)
    page.wait_for_selector(".card.running img")
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(".card.running")
    visible(other, "button.cancel").click()
    for one in (other, page):
        one.wait_for_selector(".card.cancelled")
        assert visible(one, "button.generate").is_enabled() and not one.locator("button.cancel:visible").count()
    write(page, "the next one")
    generate(page)
    finished(page)


def test_an_empty_prompt_is_named_in_red_and_the_rest_stays(visit: Any) -> None:
    page = visit()
    page.get_by_text("Tall 3:5").locator("visible=true").first.click()
    generate(page)
    page.wait_for_selector('.card.failed [data-field="prompt"]')
    assert "Write a few words" in page.locator(".card.failed").inner_text()
    page.wait_for_function("() => document.activeElement === document.querySelector('.prompt textarea')")
    assert page.get_by_label("Tall 3:5").locator("visible=true").is_checked()


def test_a_failure_while_running_is_told_and_the_page_goes_on(visit: Any) -> None:
    page = visit()
    write(page, "explode")
    generate(page)
    page.wait_for_selector(".card.failed")
    assert "Not enough memory" in page.locator(".card").inner_text()
    write(page, "a calm one")
    page.keyboard.press("Control+Enter")
    finished(page)


def test_same_settings_new_seed(visit: Any) -> None:
    page = visit()
    write(page, "twins")
    generate(page)
    finished(page)
    first = page.locator(".card .note").inner_text()
    page.locator("#again").click()
    page.wait_for_function(NEW_NOTE, arg=first)


def test_a_text_file_named_png_is_refused_at_once(visit: Any, tmp_path: Path) -> None:
    liar = tmp_path / "liar.png"
    liar.write_text("I am no picture")
    page = visit()
    page.get_by_role("tab", name="Image").click()
    page.locator(".pictures input[type=file]").first.set_input_files(liar)
    page.get_by_text("Only pictures and sounds can be uploaded").wait_for()
    assert not page.locator(".pictures img").count()


def test_examples_play_without_running_and_fill_the_form(visit: Any) -> None:
    page = visit()
    for tab, given in (("Text", None), ("Image", ".pictures img"), ("Reference", ".faces img")):
        page.get_by_role("tab", name=tab).click()
        visible(page, "button.example").click()
        page.wait_for_selector(".card.example")
        page.wait_for_function(PLAYING)
        # The card may still be the one of the tab before.
        page.wait_for_function(IN_SIGHT, arg=[".prompt textarea", "the sun crosses the sky"])
        if given:
            page.wait_for_selector(f"{given}:visible")
    page.wait_for_selector(".voice .play-pause-button")
    assert visible(page, ".say textarea").input_value() == "Hello" and page.locator("button.listen").count()
    assert page.outside == [] and page.faults == []


def test_other_models_bring_their_own_limits(visit: Any) -> None:
    page = visit()
    choose_model(page, "VACE 1.3B")
    page.wait_for_function(SOME_TEXT, arg=[".readout", "at 16 per second"])
    page.wait_for_function(SOME_TEXT, arg=[".needs", "Wan-AI/"])
    write(page, "a fox")
    generate(page)
    page.wait_for_selector(".card.failed")
    assert "not on this computer" in page.locator(".card").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_column_with_generate_always_at_hand(visit: Any, scheme: str) -> None:
    page = visit(390, 844, color_scheme=scheme, is_mobile=True, has_touch=True)
    for tab in ("Text", "Image", "Reference"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        box = visible(page, "button.generate").bounding_box()
        assert box["y"] + box["height"] <= 844 and box["width"] > 300
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("tab", name="Text").click()
    write(page, "a fox")
    generate(page)
    finished(page)
    page.wait_for_function("() => document.querySelector('.card').getBoundingClientRect().top < 120")
    assert page.outside == []


@pytest.mark.parametrize("width, height", [(1280, 900), (390, 844)])
def test_nothing_shines_through_the_bar_and_no_dot_stands_alone(visit: Any, width: int, height: int) -> None:
    page = visit(width, height)
    page.wait_for_selector(".bar-row:visible")
    layer = "one => Number(getComputedStyle(one).zIndex) || 0"
    bar = visible(page, ".bar-row").evaluate(layer)
    assert bar > max(page.locator("[data-testid=block-info]:visible").evaluate_all(f"all => all.map({layer})"))
    api, dots = page.locator("footer .show-api:visible").count(), page.locator("footer .divider:visible").count()
    assert dots == api == (width > 640)
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_timeout(300)
    end = page.locator("footer .settings").bounding_box()
    assert end["y"] + end["height"] <= visible(page, ".bar-row").bounding_box()["y"] or width > 820


def test_the_plan_follows_model_and_length_before_the_click(visit: Any) -> None:
    page = visit()
    page.wait_for_selector(".fit.calm")
    assert "Fits this computer" in visible(page, ".fit").inner_text()
    choose_model(page, "VACE 1.3B")
    page.wait_for_selector(".fit .meter")
    plan = visible(page, ".fit").inner_text()
    assert "Memory" in plan and "Disk" in plan
    page.locator("input[type=number]:visible").first.fill("5")
    page.keyboard.press("Tab")
    page.wait_for_function("was => ![...document.querySelectorAll('.fit')].some(e => e.innerText === was)", arg=plan)
    assert page.outside == [] and page.faults == []


def test_a_download_is_begun_watched_and_stopped(visit: Any) -> None:
    page = visit(390, 844, is_mobile=True, has_touch=True)
    choose_model(page, "VACE 1.3B")
    visible(page, "button.fetch").click()
    page.wait_for_function(SOME_TEXT, arg=[".needs", "of 16 GB · about"])
    page.reload()
    page.wait_for_function(SOME_TEXT, arg=[".needs", "of 16 GB · about"])
    visible(page, "button.fetch-stop").click()
    page.wait_for_function(SOME_TEXT, arg=[".needs", "what came so far stays"])
    assert visible(page, "button.fetch").inner_text() == "Go on with the download"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.outside == [] and page.faults == []


def test_the_fast_preset_comes_with_a_button(visit: Any) -> None:
    page = visit()
    choose_model(page, "Text 14B")
    button = visible(page, "button.fetch")
    button.wait_for()
    assert button.inner_text() == "Download 80 GB"
    visible(page, ".advanced button").click()
    page.get_by_text("Fast: 4 steps").locator("visible=true").first.click()
    page.wait_for_function("document.querySelector('button.fetch').innerText === 'Download 81 GB'")
    button.click()
    page.wait_for_function(SOME_TEXT, arg=[".needs", "of 16 GB · about"])
    visible(page, "button.fetch-stop").click()
    page.wait_for_function(SOME_TEXT, arg=[".needs", "what came so far stays"])
    page.get_by_text("Quality", exact=True).locator("visible=true").first.click()
    page.wait_for_function("document.querySelector('button.fetch').innerText === 'Download 80 GB'")
    assert page.outside == [] and page.faults == []


def test_a_restrictive_licence_is_accepted_in_so_many_words(visit: Any) -> None:
    page = visit()
    choose_model(page, "JoyAI-Echo")
    tick = visible(page, ".licence input")
    tick.wait_for()
    assert not tick.is_checked() and "non-commercial purposes only" in visible(page, ".licence").inner_text()
    visible(page, "button.accept").click()
    page.wait_for_selector(".needs .alert")
    tick.check()
    visible(page, "button.accept").click()
    page.wait_for_selector("button.fetch:visible")
    assert not page.locator(".licence:visible").count() and page.faults == []
