from __future__ import annotations

import subprocess
import sys

from wan_app import devices


def test_cores_are_those_we_may_use():
    import os

    assert 1 <= devices.cores() <= (os.cpu_count() or 1)


def test_a_wished_device_is_taken_without_torch():
    program = (
        "import sys; from wan_app import devices;"
        "print(devices.pick_device('cpu'), devices.describe('cpu'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("cpu CPU, ") and done.stdout.strip().endswith("False")
