from __future__ import annotations

import subprocess
import sys

import pytest

from wan_app import devices


def test_cores_are_those_we_may_use():
    import os

    assert 1 <= devices.cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("said, cores", [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)])
def test_a_containers_share_counts(tmp_path, monkeypatch, said, cores):
    monkeypatch.setattr(devices, "_QUOTA", tmp_path / "none")
    whole = devices.cores()
    (tmp_path / "cpu.max").write_text(said)
    monkeypatch.setattr(devices, "_QUOTA", tmp_path / "cpu.max")
    assert devices.cores() == (cores or whole)


def test_a_wished_device_is_taken_without_torch():
    program = (
        "import sys; from wan_app import devices;"
        "print(devices.pick_device('cpu'), devices.describe('cpu'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("cpu CPU, ") and done.stdout.strip().endswith("False")
