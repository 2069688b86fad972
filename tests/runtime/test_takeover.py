"""What becomes of the jobs of a process that has ended, whichever way it ended."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from tests.fakes import ScriptedWorker, result_of
from wan_app.runtime import receipts
from wan_app.runtime.job import Task, receipt_file, windows_file
from wan_app.runtime.ledger import Ledger
from wan_app.runtime.lifeline import Lifeline
from wan_app.runtime.queue import JobQueue
from wan_app.runtime.takeover import MAX_INTERRUPTIONS, Takeover
from wan_app.types import Cancelled, Finished, Loading


@pytest.fixture
def ledger(settings):
    one = Ledger(settings.ledger_file)
    yield one
    one.close()


@pytest.fixture
def start(settings, ledger):
    """A studio (or, not lasting, a command line) without a face; (takeover, queue, worker)."""
    started = []

    def make(*, lasting=True):
        worker = ScriptedWorker()
        queue = JobQueue(settings, ledger, worker, lasting=lasting)
        started.append((queue, worker))
        server = f"server {len(started)}"
        return Takeover(settings, ledger, queue, server, lasting=lasting), queue, worker

    yield make
    for queue, worker in started:
        worker.closed = True
        queue.close()


def left(ledger, job, *, starts=0, lasting=True):
    """The row of a job whose process was killed after so many tries."""
    ledger.add(job, "dead", lasting=lasting)
    for _ in range(starts):
        ledger.begin(job.id)
    return job


def put_down(settings, job):
    """The file is at its place, and its receipt."""
    job.out.parent.mkdir(parents=True, exist_ok=True)
    job.out.write_bytes(b"a video")
    result = result_of(Task(job_id=job.id, request=job.request, out=job.out, log=job.out))
    receipts.write(receipt_file(settings, job.id), result)
    return result


def test_jobs_that_waited_run_on_in_their_order_and_the_one_that_ran_comes_first(start, ledger, make_job):
    jobs = [make_job(prompt) for prompt in ("ran", "second", "third")]
    for place, job in enumerate(jobs):
        ledger.add(job, "dead", lasting=True, slot=(place + 1, place))
    ledger.begin(jobs[0].id)
    takeover, queue, worker = start()
    takeover.look()
    assert isinstance(list(queue.watch(jobs[2].id))[-1], Finished)
    assert worker.ran == ["ran", "second", "third"]
    assert [job.state for job in ledger.jobs()] == ["finished"] * 3
    assert [ledger.tries(job.id) for job in jobs] == [2, 1, 1]


def test_notes_on_the_inputs_are_kept(start, ledger, make_job):
    job = left(ledger, replace(make_job("wait"), notes=("mended",)))
    takeover, queue, worker = start()
    takeover.look()
    assert queue.job(job.id).notes == ("mended",)
    worker.go_on.set()


def test_a_job_of_the_command_line_is_nobodys_to_make(start, ledger, make_job):
    waiting, running = left(ledger, make_job(), lasting=False), left(ledger, make_job(), starts=1, lasting=False)
    takeover, _, worker = start()
    takeover.look()
    assert "while this job was waiting; send it again" in ledger.get(waiting.id).error
    assert "while this job was running; send it again" in ledger.get(running.id).error
    assert worker.ran == []


def test_a_command_line_leaves_the_studios_jobs_to_the_next_studio(start, ledger, make_job):
    studios, lines = left(ledger, make_job(), starts=1), left(ledger, make_job(), lasting=False)
    takeover, _, worker = start(lasting=False)
    takeover.look()
    assert (ledger.get(studios.id).state, ledger.get(lines.id).state) == ("running", "failed")
    assert worker.ran == []


def test_what_a_living_process_does_is_left_alone(start, ledger, make_job, settings):
    other = Lifeline(settings.servers_dir)
    job = make_job()
    ledger.add(job, other.token, lasting=True)
    takeover, queue, worker = start()
    takeover.look()
    assert worker.ran == [] and not queue.lives(job.id)
    other.close()
    takeover.look()
    assert isinstance(list(queue.watch(job.id))[-1], Finished)


def test_a_finished_file_whose_news_was_lost_is_known_and_not_made_again(start, ledger, make_job, settings):
    for lasting in (True, False):
        job = left(ledger, make_job(), starts=1, lasting=lasting)
        result = put_down(settings, job)
        (job.out.parent / f".{job.id}.f32").write_bytes(b"its sound")
        takeover, _, worker = start(lasting=lasting)
        takeover.look()
        row = ledger.get(job.id)
        assert (row.state, row.result, worker.ran) == ("finished", result, [])
        assert [one.name for one in job.out.parent.iterdir()] == ["clip.mp4"]
        assert not receipt_file(settings, job.id).exists()


def test_the_finished_part_of_a_clip_is_there_for_the_next_try_and_gone_then(start, ledger, make_job, settings):
    job = left(ledger, make_job("wait"), starts=1)
    kept = windows_file(settings, job.id)
    kept.parent.mkdir()
    kept.write_bytes(b"two windows")
    takeover, queue, worker = start()
    takeover.look()
    watched = queue.watch(job.id)
    while not worker.tasks:
        next(watched)
    assert worker.tasks[0].windows == kept and kept.exists()
    worker.go_on.set()
    assert isinstance(list(watched)[-1], Finished)
    assert not kept.exists()


def test_a_job_that_is_given_up_leaves_no_part_of_a_clip(start, ledger, make_job, settings):
    job = left(ledger, make_job(), starts=1, lasting=False)
    kept = windows_file(settings, job.id)
    kept.parent.mkdir()
    kept.write_bytes(b"two windows")
    start()[0].look()
    assert ledger.get(job.id).state == "failed" and not kept.exists()


def test_a_file_without_a_receipt_is_made_again_in_the_same_place(start, ledger, make_job, settings):
    job = left(ledger, make_job(), starts=1)
    put_down(settings, job)
    receipts.remove(receipt_file(settings, job.id))
    takeover, queue, worker = start()
    takeover.look()
    assert list(queue.watch(job.id))[-1].result.file == job.out
    assert worker.ran == ["a cat"] and not job.out.exists()  # gone before the new try began


def test_a_cancel_outlives_the_process_that_was_asked(start, ledger, make_job):
    job = left(ledger, make_job(), starts=1)
    ledger.give_up(job.id)
    takeover, _, worker = start()
    takeover.look()
    assert ledger.get(job.id).event == Cancelled() and worker.ran == []


def test_a_job_of_a_dead_studio_can_be_cancelled_without_another_studio(start, ledger, make_job):
    job, other = left(ledger, make_job()), left(ledger, make_job())
    assert ledger.give_up(job.id)
    takeover, _, _ = start(lasting=False)
    takeover.look()
    assert [ledger.get(one.id).state for one in (job, other)] == ["cancelled", "queued"]


def test_a_wish_of_another_process_is_heeded(start, ledger, make_job):
    takeover, queue, worker = start()
    job = make_job("wait")
    queue.submit(job, "server 1")
    events = queue.watch(job.id)
    while next(events) != Loading("Reading the prompt"):
        pass
    takeover.look()
    assert queue.job(job.id).state == "running"
    ledger.give_up(job.id)
    takeover.look()
    assert list(events)[-1] == Cancelled()


def test_a_job_that_ends_every_studio_is_given_up(start, ledger, make_job):
    often, once_less = left(ledger, make_job(), starts=MAX_INTERRUPTIONS), left(ledger, make_job(), starts=4)
    takeover, queue, worker = start()
    takeover.look()
    assert "stopped 5 times while this job was running" in ledger.get(often.id).error
    assert isinstance(list(queue.watch(once_less.id))[-1], Finished)


def test_a_worker_that_died_before_the_studio_did_is_remembered(start, ledger, make_job):
    job = left(ledger, make_job("die"), starts=2)
    ledger.count_death(job.id)
    takeover, queue, worker = start()
    takeover.look()
    assert "Given up after 2 tries: it died" in list(queue.watch(job.id))[-1].error
    assert worker.ran == ["die"]


def test_two_studios_take_each_job_once(start, ledger, make_job, monkeypatch):
    monkeypatch.setattr("wan_app.runtime.takeover.is_alive", lambda folder, server: server != "dead")
    jobs = [left(ledger, make_job()) for _ in range(20)]
    (one, first, worker), (other, second, helper) = start(), start()
    threads = [threading.Thread(target=takeover.look) for takeover in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job in jobs:
        list((first if first.lives(job.id) else second).watch(job.id))
    assert len(worker.ran) + len(helper.ran) == 20
    assert {ledger.tries(job.id) for job in jobs} == {1}


def test_a_worker_that_outlives_its_studio_and_hangs_is_ended_first(start, ledger, make_job, monkeypatch):
    monkeypatch.setattr("wan_app.runtime.orphans._GRACE", 0.1)
    job = left(ledger, make_job(), starts=1)
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dead"])
    takeover, queue, worker = start()
    takeover.look()
    assert orphan.poll() is None and not queue.lives(job.id)  # it may be at its last words
    time.sleep(0.2)
    takeover.look()
    assert orphan.wait(5) != 0
    takeover.look()
    assert isinstance(list(queue.watch(job.id))[-1], Finished)


def test_it_goes_on_looking(start, ledger, make_job, monkeypatch):
    monkeypatch.setattr("wan_app.runtime.takeover._EVERY", 0.02)
    takeover, queue, _ = start()
    takeover.start()
    job = left(ledger, make_job())
    end = time.monotonic() + 5
    while ledger.get(job.id).state != "finished":
        assert time.monotonic() < end
        time.sleep(0.02)
    takeover.close()


def test_what_ran_as_the_studio_was_closed_waits_for_the_next(start, ledger, make_job):
    takeover, queue, worker = start()
    running, waiting = make_job("wait"), make_job("later")
    queue.submit(running, "dead")
    queue.submit(waiting, "dead")
    events = queue.watch(running.id)
    while next(events) != Loading("Reading the prompt"):
        pass
    queue.close()
    assert "goes on when it is opened again" in list(events)[-1].error
    assert [job.state for job in ledger.jobs()] == ["queued", "queued"]
    assert ledger.tries(running.id) == 0  # a close is nobody's fault
    takeover, queue, worker = start()
    worker.go_on.set()
    takeover.look()
    assert isinstance(list(queue.watch(waiting.id))[-1], Finished)
    assert worker.ran == ["wait", "later"]
