"""Verify as a visitor and a program meet it: a real server, real marks, a browser. Screenshots go to tmp_path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from tests.media.conftest import ffmpeg

ANSWERED = "#verdict .verdict:not(.running):not(.idle)"


@pytest.fixture(scope="module")
def client(studio: Any, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(studio.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture(scope="module")
def made(client: Client) -> tuple[Path, dict[str, Any]]:
    """A video of the studio's, and its result."""
    file, result = client.predict(prompt="a fox <b>in</b> snow", num_inference_steps=2, api_name="/text_to_video")
    return Path(file), result


def fails(client: Client, **call: Any) -> str:
    with pytest.raises(Exception) as caught:
        client.predict(**call, api_name="/verify")
    return str(caught.value)


def test_a_program_checks_a_file_and_a_job(client: Client, made: tuple[Path, dict[str, Any]]) -> None:
    file, result = made
    said = client.predict(file=handle_file(str(file)), api_name="/verify")
    assert said["verdict"] == "made here" and said["c2pa"]["state"] == "valid"
    assert said["video_watermark"] == {**said["video_watermark"], "state": "ours", "id": result["watermark_id"]}
    assert said["audio_watermark"]["id"] == said["c2pa"]["id"] == result["watermark_id"]
    job_id = client.predict(mode="text", prompt="quick", num_inference_steps=1, api_name="/submit")
    while client.predict(job_id=job_id, api_name="/job")["state"] in ("queued", "running"):
        pass
    assert client.predict(job_id=job_id, api_name="/verify")["verdict"] == "made here"


def test_a_program_is_told_in_one_line(studio: Any, client: Client, tmp_path: Path) -> None:
    assert "file: got nothing" in fails(client)
    assert "job" in fails(client, job_id="no such")
    cut = tmp_path / "cut.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=2", cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    said = fails(client, file=handle_file(str(cut)))
    assert "file: got cut.mp4" in said and "\n" not in said and "Traceback" not in said
    for path in ("/etc/passwd", str(studio.data_dir / "ledger.sqlite3")):
        given = {"path": path, "meta": {"_type": "gradio.FileData"}}
        answer = httpx.post(studio.url + "gradio_api/call/verify", json={"data": [given, None]})
        assert answer.status_code == 400


def open_tab(page: Any, wide: bool) -> None:
    if not wide:
        page.locator(".overflow-menu > button").click()
    named = page.get_by_role("tab", name="Verify").or_(page.get_by_role("button", name="Verify"))
    named.locator("visible=true").first.click()
    page.wait_for_selector("#verify-check:visible")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_visitor_checks_a_result_and_a_swapped_one(
    visit: Any, made: tuple[Path, dict[str, Any]], client: Client, tmp_path: Path, width: int, height: int
) -> None:
    other, _ = client.predict(prompt="another", num_inference_steps=2, seed=9, api_name="/text_to_video")
    swapped = tmp_path / "swapped.mp4"
    pieces = ("-i", made[0], "-i", other, "-map", "0:v", "-map", "1:a", "-c", "copy")
    ffmpeg(*pieces, "-metadata", "title=<script>", swapped)
    page = visit(width, height)
    open_tab(page, width > 800)
    page.locator(".verify-job input").click()
    page.get_by_role("option").filter(has_text="a fox <b>in</b> snow").locator("visible=true").click()
    page.locator("#verify-check").click()
    page.wait_for_selector(ANSWERED)
    assert page.locator("#verdict h2").inner_text() == "Made here"
    page.screenshot(path=tmp_path / f"made-here-{width}.png")
    page.locator(".verify-file input[type=file]").set_input_files(swapped)
    page.wait_for_selector(".verify-file .file-preview")
    page.locator("#verify-check").click()
    page.wait_for_selector("#verdict .verdict.mixed")
    assert "swapped" in page.locator("#verdict .disagree").inner_text()
    page.get_by_text("Details", exact=True).click()
    page.screenshot(path=tmp_path / f"swapped-{width}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.outside == [] and page.faults == []


def test_an_answer_outlives_a_reload(visit: Any, made: tuple[Path, dict[str, Any]]) -> None:
    page = visit()
    open_tab(page, True)
    page.locator(".verify-file input[type=file]").set_input_files(made[0])
    page.wait_for_selector(".verify-file .file-preview")
    page.locator("#verify-check").click()
    page.wait_for_selector("#verdict .verdict.running, #verdict .verdict.here")
    page.reload()
    page.wait_for_selector("button.generate:visible")
    open_tab(page, True)
    page.wait_for_selector("#verdict .verdict.here")


def test_the_page_says_what_is_missing(visit: Any) -> None:
    page = visit()
    open_tab(page, True)
    page.locator("#verify-check").click()
    page.wait_for_selector('#verdict [role="alert"]')
    assert "nothing" in page.locator("#verdict").inner_text()
