"""The page with services that only remember."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui.remembering import RememberingServices
from wan_app.settings import Settings
from wan_app.ui import launch
from wan_app.ui.handlers import Page


@pytest.fixture
def services() -> RememberingServices:
    return RememberingServices()


@pytest.fixture
def page(services: RememberingServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    made: list[Page] = []
    wire = launch._wire
    monkeypatch.setattr(launch, "_wire", lambda page, demo: (made.append(page), wire(page, demo)))
    launch.build(services, Settings(data_dir=tmp_path))  # type: ignore[arg-type]
    return made[0]
