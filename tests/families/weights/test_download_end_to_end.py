"""The `download` command as people run it: a process of its own, killed, interrupted, and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.families.fake_hub import STALL, FakeHub, vace_repository
from wan_app.families import registry

MODEL = "wan2.1-vace-1.3b"
REPOSITORY = registry.get(MODEL).repository
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub({REPOSITORY: vace_repository(size=400_000)}) as one:
        yield one


@contextmanager
def running(hub: FakeHub, home: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m wan_app ...` with the fake hub and everything it writes under `home`."""
    env = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home / "hub"), "NO_PROXY": "*",
        "WAN_APP_DATA_DIR": str(home / "data"),
    }
    command = [sys.executable, "-m", "wan_app", *args]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finished(hub: FakeHub, home: Path, *args: str) -> tuple[int, str, str]:
    with running(hub, home, *args) as process:
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def grown(home: Path) -> int:
    """Bytes in files that are not whole yet."""
    sizes = 0
    for part in (home / "hub").rglob("*.incomplete"):
        with suppress(FileNotFoundError):  # it is whole now
            sizes += part.stat().st_size
    return sizes


def wait_for_bytes(process: subprocess.Popen[str], home: Path, count: int) -> None:
    ends = time.monotonic() + 60
    while grown(home) < count:
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.05)


def test_a_killed_download_goes_on_at_the_byte(hub: FakeHub, tmp_path: Path) -> None:
    hub.rate = 100_000
    with running(hub, tmp_path, "download", MODEL) as process:
        wait_for_bytes(process, tmp_path, 200_000)
        process.send_signal(signal.SIGKILL)
        process.wait()
    left, hub.rate = grown(tmp_path), None
    code, out, err = finished(hub, tmp_path, "download", MODEL, "--json")
    assert code == 0, err
    done = json.loads(out)
    assert done["total"] - done["fetched"] >= left >= 200_000
    assert Path(done["folder"], "model_index.json").is_file() and grown(tmp_path) == 0
    code, out, err = finished(hub, tmp_path, "models", "--json")
    assert next(row["available"] for row in json.loads(out) if row["id"] == MODEL)


def test_ctrl_c_stops_at_once_while_the_line_hangs(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "60")
    hub.faults["vae/diffusion_pytorch_model.safetensors"] = [STALL]
    with running(hub, tmp_path, "download", MODEL) as process:
        wait_for_bytes(process, tmp_path, hub.after)
        time.sleep(0.3)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        # The line would hang for a minute. The last seconds are Python's own end, on a busy machine.
        assert time.monotonic() - started < 15
    assert (process.returncode, out, err) == (130, "", "Cancelled; the same command goes on with it\n")


@pytest.mark.parametrize("model, code, said", [
    ("sora", 2, "model: got 'sora'; needed one of pocket, "),
    ("minimax-h3", 3, "minimax-h3: off until its licence is accepted"),
    ("ltx-2", 3, "ltx-2: the hub knows no Lightricks/LTX-2"),
])
def test_refusals_are_one_line(hub: FakeHub, tmp_path: Path, model: str, code: int, said: str) -> None:
    got, out, err = finished(hub, tmp_path, "download", model)
    assert (got, out) == (code, "") and err.startswith(said) and err.count("\n") == 1
