"""A real server in a process of its own, and a headless Chromium to look at it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import soundfile
from PIL import Image

from tests.browser import FLAGS, find_chromium
from tests.ui.fake_model import GATE, RATE, babble

ROOT = Path(__file__).resolve().parents[2]
# Milliseconds that a browser waits for what must come; a busy machine may need longer than its 30 s.
PATIENCE = 120_000
# httpx, gradio_client's too, gives up after 5 s.
for _part in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _part, 60.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROOT / "tests" / "e2e" in Path(item.path).parents:
            item.add_marker(pytest.mark.e2e)


class Studio:
    """A server that can be stopped and started again on its port and data."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self.data_dir, self._log = folder / "data", folder / "server.log"
        self.cache = folder / "gradio"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # {port} and {data} stand for this server's own.
        self._environment = environment
        self._command = command or ("-m", "tests.ui.fake_studio", "{port}", "{data}")
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers 200."""
        env = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(self.cache), **self._environment}
        command = [one.format(port=self.port, data=self.data_dir) for one in self._command]
        self._process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=env, stdout=self._log.open("ab"), stderr=subprocess.STDOUT
        )
        until = time.monotonic() + 240  # seconds it takes; minutes on a machine that trains beside it
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if httpx.get(self.url + "healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        self._process.kill()
        raise AssertionError("the studio did not start:\n" + self.log())

    def stop(self) -> None:
        """As Ctrl+C."""
        if self._process:
            self._process.terminate()
            self._process.wait(120)

    def hold(self) -> None:
        """Jobs with "held" in their words stay at their first step until `let_go`."""
        (self.data_dir / GATE).unlink(missing_ok=True)

    def let_go(self) -> None:
        """They go on, and those that come."""
        (self.data_dir / GATE).touch()

    def process(self) -> psutil.Process:
        """The server, to be measured."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def log(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    running = Studio(tmp_path_factory.mktemp("studio"))
    running.start()
    yield running
    running.stop()
    # Gradio prints its own refusals of forged paths; none may come from our code.
    assert "/wan_app/" not in running.log(), running.log()


@pytest.fixture(scope="session")
def studio_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Studio]:
    """Makes a studio whose environment says something; the test starts and stops it."""
    return lambda **environment: Studio(tmp_path_factory.mktemp("studio"), **environment)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "face.png"
    Image.new("RGB", (200, 150), (200, 120, 60)).save(path)
    return path


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of a voice."""
    path = tmp_path_factory.mktemp("voices") / "voice.wav"
    soundfile.write(path, babble(8.0)[0], RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def launch_chromium() -> Iterator[Any]:
    """A function that starts a Chromium with more flags; there can be one playwright only a process."""
    program = find_chromium()
    if program is None:
        # CI sets this: there, a missing browser is a failure and not an excuse.
        if os.environ.get("WAN_APP_REQUIRE_BROWSER"):
            pytest.fail("no chromium on this machine")
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(executable_path=program, args=[*FLAGS, *flags])


@pytest.fixture(scope="session")
def chromium(launch_chromium: Any) -> Iterator[Any]:
    browser = launch_chromium()
    yield browser
    browser.close()


@pytest.fixture
def visit(chromium: Any, studio: Studio) -> Iterator[Any]:
    """Opens the studio in a fresh browser profile."""
    yield from visits(chromium, studio)


def visits(chromium: Any, studio: Studio) -> Iterator[Any]:
    """A function that opens pages, each noting what it asked of other hosts and what went wrong in it."""
    contexts = []

    def open_page(width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch(page, studio)
        page.goto(studio.url)
        page.wait_for_selector("button.generate:visible")
        # The load event has brought the session when the store of the browser holds it.
        page.wait_for_function("localStorage.getItem('wan-app-session') !== null")
        return page

    yield open_page
    for context in contexts:
        context.close()


def watch(page: Any, studio: Studio) -> None:
    """Collect outside requests and uncaught errors in `page.outside` and `page.faults`."""
    page.outside, page.faults = [], []
    page.on("request", lambda request: None if request.url.startswith((studio.url, "data:", "blob:"))
            else page.outside.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
