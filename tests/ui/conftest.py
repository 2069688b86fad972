"""The page with services that only remember."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradio.context import LocalContext

from tests.ui.remembering import MINE, RememberingServices
from wan_app.settings import Settings
from wan_app.sharing.gate import WHO
from wan_app.sharing.who import Who
from wan_app.ui import launch
from wan_app.ui.handlers import Page
from wan_app.ui.session import MAY_USE


@pytest.fixture(autouse=True)
def asked_by() -> Iterator[Callable[[Who], None]]:
    """A function that says whose the events are that a test handles; until then they are MINE."""
    def ask(who: Who) -> None:
        scope = {WHO: who, MAY_USE: lambda path: True}
        LocalContext.request.set(SimpleNamespace(request=SimpleNamespace(scope=scope)))  # type: ignore[arg-type]

    ask(MINE)
    yield ask
    LocalContext.request.set(None)


@pytest.fixture
def services(tmp_path: Path) -> RememberingServices:
    """With one LoRA in its folder, of no content."""
    one, folder = RememberingServices(), tmp_path / "loras"
    one.settings = replace(one.settings, loras_folder=folder)
    folder.mkdir()
    (folder / "snow.safetensors").touch()
    return one


@pytest.fixture
def page(services: RememberingServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    made: list[Page] = []
    wire = launch._wire
    monkeypatch.setattr(launch, "_wire", lambda page, demo: (made.append(page), wire(page, demo)))
    launch.build(services, Settings(data_dir=tmp_path))  # type: ignore[arg-type]
    return made[0]
