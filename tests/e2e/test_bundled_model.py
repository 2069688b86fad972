"""The whole way with the real bundled model: app.py, worker, network, MP4, and a browser that plays it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Studio, visits

PLAYING = "() => { const v = document.querySelector('.card video'); return v && v.currentTime > 0.3 && !v.paused }"
# Chromium has no list of tracks; it counts the bytes of sound it has decoded.
HAS_SOUND = "() => document.querySelector('.card video').webkitAudioDecodedByteCount > 0"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    running = Studio(
        tmp_path_factory.mktemp("real"), "app.py", "--port", "{port}", "--data-dir", "{data}"
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
def visit_real(chromium: Any, real: Studio) -> Iterator[Any]:
    yield from visits(chromium, real)


@pytest.mark.parametrize("tab", ["Text", "Image", "Reference"])
def test_every_tab_turns_real_input_into_a_video_that_plays(
    visit_real: Any, picture: Path, voice: Path, tab: str
) -> None:
    page = visit_real()
    page.get_by_role("tab", name=tab).click()
    if tab == "Image":
        page.locator(".pictures input[type=file]").first.set_input_files(picture)
        page.wait_for_selector(".pictures img")
    if tab == "Reference":
        page.locator(".faces input[type=file]").first.set_input_files(picture)
        page.wait_for_selector(".faces img")
        page.locator(".voice:visible").first.get_by_label("Upload file").click()
        page.locator(".voice input[type=file]").first.set_input_files(voice)
        page.wait_for_selector(".voice .play-pause-button")
        page.locator(".consent input:visible").check()
    words = "character1 waves at the beach" if tab == "Reference" else "a girl with red hair waves at the beach"
    page.locator(".prompt textarea:visible").fill(words)
    page.locator("button.generate:visible").click()
    page.wait_for_selector(".card.finished, .card.failed", timeout=600_000)
    page.wait_for_function(PLAYING)
    assert page.evaluate(HAS_SOUND)
    if tab == "Reference":
        assert "ooks like" in page.locator(".card").inner_text()
    assert page.outside == [] and page.faults == []
