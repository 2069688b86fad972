from __future__ import annotations

import errno
import sys
import types
from dataclasses import replace

import pytest

from tests.fakes import result_of
from wan_app.errors import Cancelled as CancelledError
from wan_app.errors import StorageError
from wan_app.runtime import receipts, worker_process
from wan_app.runtime.worker_process import Pace, ProcessReporter, is_out_of_memory, run_task
from wan_app.types import Cancelled, Failed, Finished, GenerationRequest, Step


class Raising:
    def __init__(self, error):
        self.error = error

    def run(self, task, report):
        raise self.error


def run(error, task):
    return run_task(Raising(error), task, ProcessReporter(lambda event: None, lambda: False))


def test_a_cancel_is_not_a_failure(make_task):
    assert run(CancelledError(), make_task()) == Cancelled()


def test_our_errors_keep_their_words(make_task):
    failed = run(StorageError("out", "a full disk", "space"), make_task())
    assert failed == Failed("out: got a full disk; needed space", "StorageError", 2)


def test_other_errors_are_one_line_and_a_log(make_task):
    task = make_task()
    failed = run(ValueError("bad\nshape"), task)
    assert failed.exit_code == 1 and "\n" not in failed.error
    assert "ValueError: bad shape" in failed.error and str(task.log) in failed.error
    assert "Traceback" in task.log.read_text()


def test_even_a_system_exit_is_only_this_jobs_end(make_task):
    assert isinstance(run(SystemExit(3), make_task()), Failed)


def test_running_out_of_memory_is_exit_code_4(make_task):
    failed = run(MemoryError(), make_task())
    assert (failed.kind, failed.exit_code) == ("OutOfMemory", 4) and "128x128" in failed.error


@pytest.fixture
def fake_torch(monkeypatch):
    module = types.SimpleNamespace(OutOfMemoryError=type("OutOfMemoryError", (RuntimeError,), {}))
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_out_of_memory_is_recognised_only_truly(fake_torch):
    assert is_out_of_memory(fake_torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: you tried"))
    caused = ValueError("could not load")
    caused.__cause__ = MemoryError()
    assert is_out_of_memory(caused)
    # Words alone are not enough, or every fault that mentions memory would be one.
    assert not is_out_of_memory(RuntimeError("CUDA error: out of memory lane"))
    assert not is_out_of_memory(ValueError("memory"))


def test_eta_is_the_pace_times_what_is_left(monkeypatch):
    clock = [10.0]
    monkeypatch.setattr(worker_process.time, "monotonic", lambda: clock[0])
    sent = []
    report = ProcessReporter(sent.append, lambda: False, tail=0.5)
    for index in (1, 2, 3):
        report(Step(index, 4))
        clock[0] += 2.0
    assert [one.eta for one in sent] == [None, 4.5, 2.5]


def test_what_comes_after_the_steps_is_learned():
    small = GenerationRequest(mode="text", prompt="x", model="m", width=10, height=10, num_frames=5)
    large = GenerationRequest(mode="text", prompt="x", model="m", width=20, height=10, num_frames=10)
    pace = Pace()
    assert pace.tail(small) == 0.0
    pace.learn(small, 2.0)
    assert pace.tail(large) == pytest.approx(8.0)
    pace.learn(replace(small, sound_only=True), 0.1)
    assert pace.tail(small) == pytest.approx(2.0)


def test_a_finished_task_leaves_a_receipt_before_it_is_told(make_task, tmp_path):
    task = replace(make_task(), receipt=tmp_path / "job.json")

    class Making:
        def run(self, task, report):
            task.out.parent.mkdir(parents=True)
            task.out.write_bytes(b"a video")
            return result_of(task)

    ending = run_task(Making(), task, ProcessReporter(lambda event: None, lambda: False))
    assert ending == Finished(receipts.read(task.receipt))


def test_a_full_disk_is_said_to_be_full(make_task):
    failed = run(OSError(errno.ENOSPC, "No space left on device", "/data/cache/x"), make_task())
    assert (failed.kind, failed.exit_code) == ("StorageError", 2)
    assert failed.error == "disk: got No space left on device at /data/cache/x; needed free space"


def test_signs_of_life_are_given_now_and_then(monkeypatch):
    clock = [10.0]
    monkeypatch.setattr(worker_process.time, "monotonic", lambda: clock[0])
    sent = []
    report = ProcessReporter(sent.append, lambda: False)
    for _ in range(100):
        clock[0] += 0.1
        report.check()
    assert sent == [None] * 4
