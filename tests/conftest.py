"""For every test: no network, no data of the user's, few threads; what has no marker is `fast`."""

from __future__ import annotations

import os
import tempfile

# Set before anything imports gradio, huggingface_hub or torch: they read these once.
_HOME = tempfile.mkdtemp(prefix="wan-app-tests-")
os.environ.update(
    WAN_APP_DATA_DIR=os.path.join(_HOME, "data"),
    HF_HOME=os.path.join(_HOME, "hub"),
    HF_HUB_OFFLINE="1",
    GRADIO_ANALYTICS_ENABLED="False",
)
os.environ.pop("WAN_APP_WEIGHTS_DIR", None)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from tests.marking import Marks, marks_in  # noqa: E402

_BROWSERS = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not any(item.get_closest_marker(name) for name in ("slow", "e2e")):
            item.add_marker(pytest.mark.fast)
    # Browsers last: playwright leaves an event loop running in this thread, beside which no other can be run.
    items.sort(key=lambda item: item.path.is_relative_to(_BROWSERS))


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def marks(tmp_path_factory: pytest.TempPathFactory) -> Marks:
    """For one written file; its sidecar goes to a folder of its own."""
    return marks_in(tmp_path_factory.mktemp("sidecars"))
