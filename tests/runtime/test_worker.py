"""The real worker process, with the fake model of tests/fakes.py in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import RECIPE
from wan_app.errors import WorkerDied
from wan_app.runtime.worker import ProcessWorker
from wan_app.types import Cancelled, Failed, Finished, Loading, Step


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from wan_app.settings import Settings

    worker = ProcessWorker(Settings(data_dir=tmp_path_factory.mktemp("worker"), device="cpu"), RECIPE)
    yield worker
    worker.close()


def finished(worker, task):
    events = list(worker.run(task))
    assert isinstance(events[-1], Finished), events[-1]
    return events


def leftovers(task):
    return list(task.out.parent.iterdir()) if task.out.parent.exists() else []


def test_a_task_runs_in_a_process_of_its_own_and_keeps_it(shared, make_task):
    events = finished(shared, make_task())
    first = shared.pid
    assert [one.index for one in events if isinstance(one, Step)] == [1, 2, 3]
    task = make_task()
    finished(shared, task)
    assert shared.pid == first != os.getpid()
    assert task.out.stat().st_size > 1000


@pytest.mark.parametrize("stage", ["encoding", "denoising", "decoding"])
def test_cancel_in_every_stage_and_the_next_task_is_clean(shared, make_task, stage):
    finished(shared, make_task())  # loaded, so that only the cancel is timed
    pid, task = shared.pid, make_task(f"hang in {stage}")
    marks = {"encoding": "Reading the prompt", "denoising": "Reading the prompt", "decoding": "Decoding"}
    start = None
    for event in shared.run(task):
        if getattr(event, "what", None) == marks[stage]:
            start = time.monotonic()
            shared.cancel(task.job_id)
    assert event == Cancelled() and time.monotonic() - start < 5
    assert leftovers(task) == []
    finished(shared, make_task())
    assert shared.pid == pid  # it was asked, not killed


def test_cancel_while_the_file_is_written(shared, make_task):
    task = make_task()
    for event in shared.run(task):
        if getattr(event, "what", None) == "Writing the video":
            shared.cancel(task.job_id)
    # The file may have been complete by then; half a file may never stay.
    assert event == Cancelled() or isinstance(event, Finished)
    assert [one.name for one in leftovers(task)] == (["clip.mp4"] if isinstance(event, Finished) else [])
    finished(shared, make_task())


def test_a_cancel_before_the_task_starts_it_not(shared, make_task):
    task = make_task()
    shared._running = None
    shared.cancel(task.job_id)
    assert list(shared.run(task)) == [Cancelled()]
    finished(shared, make_task())


def test_an_error_is_an_event_and_the_process_lives_on(shared, make_task):
    finished(shared, make_task())
    pid = shared.pid
    failed = list(shared.run(make_task("boom in denoising")))[-1]
    assert isinstance(failed, Failed) and "RuntimeError: the tensor of shape" in failed.error
    finished(shared, make_task())
    assert shared.pid == pid


def test_a_crash_is_this_tasks_end_only(shared, make_task):
    with pytest.raises(WorkerDied, match="exit code 7"):
        list(shared.run(make_task("crash in denoising")))
    finished(shared, make_task())


def test_killed_while_running(shared, make_task):
    with pytest.raises(WorkerDied, match="killed .signal 9."):
        for event in shared.run(make_task("hang in denoising")):
            if isinstance(event, Loading) and event.what == "Reading the prompt":
                os.kill(shared.pid, signal.SIGKILL)
    finished(shared, make_task())


def test_killed_while_idle_is_not_even_noticed(shared, make_task):
    finished(shared, make_task())
    old = shared.pid
    os.kill(old, signal.SIGKILL)
    finished(shared, make_task())
    assert shared.pid != old


def test_a_task_that_heeds_no_cancel_is_ended(settings, make_task):
    worker = ProcessWorker(settings, RECIPE, cancel_grace=0.3)
    task = make_task("stall in denoising")
    for event in worker.run(task):
        if getattr(event, "what", None) == "Reading the prompt":
            start = time.monotonic()
            worker.cancel(task.job_id)
    assert event == Cancelled() and 0.2 < time.monotonic() - start < 10
    worker.close()


def test_a_recipe_that_cannot_be_opened_fails_the_task_in_one_line(settings, make_task):
    worker = ProcessWorker(settings, "tests.fakes:no_such_function")
    for _ in range(2):
        failed = list(worker.run(make_task()))[-1]
        assert isinstance(failed, Failed) and "could not start" in failed.error
    worker.close()


def test_what_libraries_print_does_not_disturb_the_events(settings, make_task, monkeypatch):
    worker = ProcessWorker(settings, "tests.runtime.noisy:open_recipe")
    finished(worker, make_task())
    worker.close()
    log = (settings.logs_dir / "worker.log").read_text()
    assert "printed by Python" in log and "printed by a child process" in log


def test_warm_starts_the_process_in_the_background(settings):
    worker = ProcessWorker(settings, RECIPE)
    warming = threading.Thread(target=worker.warm, daemon=True)
    with worker._starting:  # nothing can start meanwhile
        warming.start()
        warming.join(30)
        assert not warming.is_alive(), "it waits for the process"
    start = time.monotonic()
    while worker.pid is None:
        assert time.monotonic() - start < 30
        time.sleep(0.01)
    worker.close()
    assert worker.pid is None


def test_a_worker_that_gives_no_sign_of_life_is_ended_and_replaced(settings, make_task):
    worker = ProcessWorker(settings, RECIPE)
    finished(worker, make_task())  # it is up: what is measured is the silence
    pid = worker.pid
    start = time.monotonic()
    with pytest.raises(WorkerDied, match="no sign of life for 1 s"):
        list(worker.run(replace(make_task("stall in denoising"), patience=1.0)))
    assert 0.8 < time.monotonic() - start < 30
    finished(worker, make_task())
    assert worker.pid != pid
    worker.close()


def test_a_halted_worker_is_replaced_too(settings, make_task):
    worker = ProcessWorker(settings, RECIPE)
    finished(worker, make_task())
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerDied, match="no sign of life"):
        list(worker.run(replace(make_task(), patience=1.0)))
    finished(worker, make_task())
    worker.close()


def test_cancel_points_are_signs_of_life(settings, make_task):
    """A step may take minutes; as long as its blocks go by, nothing hangs."""
    worker = ProcessWorker(settings, RECIPE)
    finished(worker, make_task())
    task = replace(make_task("hang in denoising"), patience=3.0)  # heeds cancels, and has nothing to tell
    timer = threading.Timer(4.5, worker.cancel, args=(task.job_id,))
    timer.start()
    assert list(worker.run(task))[-1] == Cancelled()
    worker.close()


def test_the_server_alone_ends_its_worker(settings, make_task):
    """A service manager's SIGTERM goes to every process: no job may count it as a death."""
    worker = ProcessWorker(settings, RECIPE)
    finished(worker, make_task())
    pid = worker.pid
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.2)
    finished(worker, make_task())
    assert worker.pid == pid
    worker.close()
    assert not _running(pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_the_process_ends_with_its_server(settings, make_task):
    program = (
        "import sys, pathlib; from wan_app.settings import Settings;"
        "from wan_app.runtime.worker import ProcessWorker;"
        "w = ProcessWorker(Settings(data_dir=pathlib.Path(sys.argv[1])), 'tests.fakes:open_recipe');"
        "print(w._alive().pid, flush=True); sys.stdin.read()"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(settings.data_dir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    worker = int(server.stdout.readline())
    assert _running(worker)
    server.kill()
    server.wait()
    end = time.monotonic() + 10
    while _running(worker):
        assert time.monotonic() < end, "the worker outlived its server"
        time.sleep(0.05)


def _running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
