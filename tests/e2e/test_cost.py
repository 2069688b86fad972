"""What the server itself costs until the page answers: the aims of `make bench`, as a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Studio

COMMAND = ("app.py", "--port", "{port}", "--data-dir", "{data}")
CPU_SECONDS, RESIDENT_MIB = 4.0, 250
# CPU seconds grow on a machine whose cores and caches are shared with other work.
SLACK = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """The app as people start it, just when it first answered 200."""
    fresh = Studio(tmp_path_factory.mktemp("fresh"), *COMMAND)
    fresh.start()
    yield fresh.process()
    fresh.stop()


def test_it_answers_soon_and_light(server: psutil.Process, tmp_path: Path) -> None:
    spent, resident = [sum(server.cpu_times()[:2])], server.memory_info().rss / 2**20
    while min(spent) > CPU_SECONDS * SLACK and len(spent) < 3:  # what ran beside it has cost it time, too
        again = Studio(tmp_path, *COMMAND)
        again.start()
        spent.append(sum(again.process().cpu_times()[:2]))
        again.stop()
    assert min(spent) <= CPU_SECONDS * SLACK
    assert resident <= RESIDENT_MIB


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the files mapped into a process")
def test_it_has_no_torch_in_it(server: psutil.Process) -> None:
    mapped = {Path(one.path).name for one in server.memory_maps()}
    assert any("python" in name for name in mapped), "the look itself failed"
    assert not [name for name in mapped if "torch" in name]
