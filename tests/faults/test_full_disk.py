"""A disk that fills up under a running job: the job says so, the ledger stays whole, the next job works."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.recipe import RECIPE
from wan_app import services as services_module
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import Failed, Finished, GenerationRequest, Step


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB, mounted: a job is not even taken with less than 16 free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(file: Path) -> None:
    """Leave no room at all."""
    with suppress(OSError), file.open("ab", buffering=0) as out:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while out.write(b"\0" * size):
                    pass


def test_a_job_on_a_disk_that_fills_up_says_so_and_nothing_else_is_harmed(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_module, "RECIPE", RECIPE)
    monkeypatch.setattr(services_module.weights, "locate", lambda *_: None)
    settings = Settings(data_dir=small_disk / "data", device="cpu")
    request = GenerationRequest(mode="text", prompt="a cat, pace 0.5", num_inference_steps=3, seconds=0.6)
    studio = Services(settings, lasting=True)
    try:
        job_id = studio.submit(request)
        last = None
        for last in studio.watch(job_id):
            if isinstance(last, Step) and last.index == 1:
                fill(small_disk / "filler")
        assert isinstance(last, Failed) and last.kind == "StorageError" and "space" in last.error, last
        assert studio.job(job_id).state == "failed"  # though the ledger may not have taken it
        assert not list(settings.outputs_dir.glob("*/*"))
        (small_disk / "filler").unlink()
        again = studio.submit(request)
        assert isinstance(list(studio.watch(again))[-1], Finished)
        studio._queue.settle()
        assert sqlite3.connect(settings.ledger_file).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        studio.close()
    after = Services(settings)
    assert [job.state for job in after.jobs()] == ["failed", "finished"]
    after.close()
