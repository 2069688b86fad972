from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from wan_app.runtime.lifeline import Lifeline, is_alive


def test_alive_until_closed(tmp_path: Path):
    one = Lifeline(tmp_path)
    assert is_alive(tmp_path, one.token)
    one.close()
    assert not is_alive(tmp_path, one.token)
    assert not is_alive(tmp_path, "never-was")


def test_a_killed_process_is_dead_and_its_file_goes(tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from wan_app.runtime.lifeline import Lifeline;"
        "one = Lifeline(Path(sys.argv[1])); print(one.token, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    token = child.stdout.readline().strip()
    assert is_alive(tmp_path, token)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not is_alive(tmp_path, token)
    assert list(tmp_path.iterdir()) == []
