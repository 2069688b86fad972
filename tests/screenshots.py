"""Pictures of the studio at work, for the README: `python -m tests.screenshots [FOLDER]`.

Runs the real app with the real model and presses Generate on each tab; the Image and Reference tabs
start from the stored examples' pictures. `--fake` takes the tests' fake model, for work on the page.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import FLAGS, find_chromium
from wan_app.media.video import read_metadata
from wan_app.settings import ASSETS
from wan_app.ui import examples

ROOT = Path(__file__).resolve().parents[1]
DESKTOP, PHONE = (1280, 900), (390, 844)
TABS = (("studio", "Text"), ("image", "Image"), ("reference", "Reference"))
MAX_BYTES = 150_000


def main() -> None:
    """Write <tab>.png and <tab>-phone.png for each tab, and studio-dark.png: assets have a budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ASSETS / "screenshots")
    parser.add_argument("--fake", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with studio(fake=options.fake) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        for name, tab in TABS:
            shoot(browser, url, tab, options.folder / f"{name}.png", size=DESKTOP)
            if name == "studio":
                shoot(browser, url, tab, options.folder / f"{name}-dark.png", size=DESKTOP, scheme="dark")
            shoot(browser, url, tab, options.folder / f"{name}-phone.png", size=PHONE)


def shoot(
    browser: Any, url: str, tab: str, file: Path, *, size: tuple[int, int], scheme: str = "light"
) -> None:
    """Make a video on a tab and take the picture of what a visitor then sees."""
    phone = size[0] < 500
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, is_mobile=phone, has_touch=phone,
    )
    page = context.new_page()
    page.set_default_timeout(180_000)  # a machine may train beside it
    page.goto(url)
    page.wait_for_selector("button.generate:visible")
    page.wait_for_function("localStorage.getItem('wan-app-session') !== null")
    page.get_by_role("tab", name=tab).click()
    page.wait_for_timeout(400)
    fill(page, tab)
    page.locator("button.generate:visible").click()
    page.wait_for_selector(".card.finished", timeout=180_000)
    page.wait_for_timeout(2_500)
    if not phone:
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(300)
    page.screenshot(path=file)
    context.close()
    shrink(file)
    print(file, file.stat().st_size)


def fill(page: Any, tab: str) -> None:
    """The tab's first example, or a prompt of our own where there is none."""
    example = page.locator("button.example:visible")
    if example.count():
        example.first.click()
        page.wait_for_selector(".card.example")
        page.wait_for_timeout(800)
        found = next(one for one in examples.stored() if one.mode == tab.lower())
        give_seed(page, read_metadata(found.file)["request"]["seed"])
    else:
        page.locator(".prompt textarea:visible").fill("a girl with long red hair waves at the beach")
    if tab == "Reference":
        # The tick is about what is there: an example takes it away as it arrives.
        page.wait_for_function("document.querySelector('.stating').innerText.includes('character1')")
        page.locator(".consent input:visible").check()


def give_seed(page: Any, seed: int) -> None:
    """The example's own: the picture is the same again, until the model is another one."""
    advanced = page.locator(".advanced:visible > button")
    advanced.click()
    page.get_by_label("New seed each time").locator("visible=true").uncheck()
    page.get_by_label("Seed", exact=True).locator("visible=true").fill(str(seed))
    page.keyboard.press("Tab")
    advanced.click()


def shrink(file: Path) -> None:
    """Reduce the colours until the PNG is small enough for the repository."""
    picture = Image.open(file).convert("RGB")
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size <= MAX_BYTES:
            return


@contextmanager
def studio(*, fake: bool) -> Iterator[str]:
    """The URL of a server of our own with an empty data folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="wan-app-shots-") as folder:
        data = str(Path(folder) / "data")
        command = ["-m", "tests.ui.fake_studio", port, data] if fake else ["app.py", "--port", port, "--data-dir", data]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=env)
        try:
            yield _answering(f"http://127.0.0.1:{port}/")
        finally:
            server.terminate()
            server.wait(30)


def _answering(url: str) -> str:
    for _ in range(400):
        try:
            if httpx.get(url).status_code == 200:
                return url
        except httpx.TransportError:
            time.sleep(0.25)
    raise SystemExit("the studio did not start")


if __name__ == "__main__":
    main()
