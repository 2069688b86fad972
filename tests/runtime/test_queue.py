from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from tests.fakes import TINY_JPEG, ScriptedWorker, result_of
from wan_app.errors import StorageError, WorkerDied
from wan_app.runtime import receipts
from wan_app.runtime.ledger import Ledger
from wan_app.runtime.queue import JobQueue
from wan_app.types import Cancelled, Failed, Finished, Loading, Queued, Step


@pytest.fixture
def worker():
    return ScriptedWorker()


@pytest.fixture
def queue(settings, worker):
    ledger = Ledger(settings.ledger_file)
    one = JobQueue(settings, ledger, worker)
    one.ledger = ledger
    yield one
    worker.closed = True
    one.close()
    ledger.close()


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def test_events_come_in_order_and_once(queue, worker, make_job):
    job_id = queue.submit(make_job("wait"), "server")
    watching = queue.watch(job_id)
    events = [next(watching)]
    worker.go_on.set()
    events += watching
    assert [type(one) for one in events] == [Queued, Loading, Step, Finished]
    assert queue.ledger.get(job_id).state == "finished"
    # Somebody who comes after the end is told the end.
    assert list(queue.watch(job_id)) == events[-1:]


@pytest.mark.parametrize("prompt, kind, exit_code", [
    ("fail", "OutOfMemory", 4), ("die", "WorkerDied", 1), ("break", "WanAppError", 1),
    ("silence", "WorkerDied", 1),
])
def test_a_failed_job_never_stops_the_queue(queue, make_job, prompt, kind, exit_code):
    bad, good = queue.submit(make_job(prompt), "server"), queue.submit(make_job(), "server")
    last = list(queue.watch(bad))[-1]
    assert isinstance(last, Failed) and (last.kind, last.exit_code) == (kind, exit_code)
    assert queue.job(bad).state == "failed" and queue.job(bad).failure == last
    assert isinstance(list(queue.watch(good))[-1], Finished)


def test_a_waiting_job_is_cancelled_at_once(queue, worker, make_job):
    first, second, third = (queue.submit(make_job(prompt), "server") for prompt in ("wait", "never", "last"))
    until(lambda: queue.job(first).state == "running" and queue.job(third).event == Queued(2))
    queue.cancel(second)
    assert queue.job(second).state == "cancelled"
    assert list(queue.watch(second)) == [Cancelled()]
    assert queue.job(third).event == Queued(1)  # it moved up
    worker.go_on.set()
    assert isinstance(list(queue.watch(third))[-1], Finished)
    assert worker.ran == ["wait", "last"]


def test_a_running_job_is_cancelled_through_the_worker(queue, worker, make_job):
    job_id = queue.submit(make_job("wait"), "server")
    until(lambda: queue.job(job_id).state == "running")
    queue.cancel(job_id)
    assert list(queue.watch(job_id))[-1] == Cancelled()
    assert worker.cancelled == [job_id]


def test_cancel_after_the_end_changes_nothing(queue, worker, make_job):
    job_id = queue.submit(make_job(), "server")
    list(queue.watch(job_id))
    queue.cancel(job_id)
    queue.cancel("no such job")
    assert queue.job(job_id).state == "finished" and worker.cancelled == []


def test_the_last_preview_is_kept_while_the_job_runs(queue, worker, make_job, monkeypatch):
    def steps(task):
        yield Step(1, 2, preview=TINY_JPEG)
        yield Step(2, 2)  # made without a picture
        worker.go_on.wait(5)
        yield Cancelled()

    monkeypatch.setattr(worker, "run", steps)
    job_id = queue.submit(make_job(), "server")
    until(lambda: queue.job(job_id).event == Step(2, 2))
    assert queue.job(job_id).preview == TINY_JPEG
    worker.go_on.set()
    assert list(queue.watch(job_id))[-1] == Cancelled()


def test_a_watcher_sleeps_until_something_happens(queue, worker, make_job):
    """No busy waiting: a second of watching a silent job costs next to no CPU."""
    job_id = queue.submit(make_job("wait"), "server")
    got = []
    watcher = threading.Thread(target=lambda: got.extend(queue.watch(job_id)))
    watcher.start()
    until(lambda: queue.job(job_id).state == "running")
    clock = time.clock_gettime(time.pthread_getcpuclockid(watcher.ident))
    time.sleep(0.5)
    assert time.clock_gettime(time.pthread_getcpuclockid(watcher.ident)) - clock < 0.02
    worker.go_on.set()
    watcher.join(5)
    assert isinstance(got[-1], Finished)


def test_two_watchers_see_the_same(queue, worker, make_job):
    job_id = queue.submit(make_job("wait"), "server")
    watched = [queue.watch(job_id) for _ in range(2)]
    found = [[next(one)] for one in watched]  # both are there before it ends
    threads = [
        threading.Thread(target=into.extend, args=(one,)) for into, one in zip(found, watched)
    ]
    for thread in threads:
        thread.start()
    worker.go_on.set()
    for thread in threads:
        thread.join(5)
    assert found[0] == found[1] and isinstance(found[0][-1], Finished)


def test_a_job_that_cannot_be_written_is_not_acknowledged(queue, worker, make_job):
    queue.ledger.close()
    with pytest.raises(StorageError):
        queue.submit(make_job(), "server")
    assert worker.ran == []


def test_a_ledger_that_fails_later_does_not_lose_the_job(queue, worker, make_job):
    job_id = queue.submit(make_job("wait"), "server")
    watching = queue.watch(job_id)
    next(watching)
    until(lambda: queue.job(job_id).state == "running")
    queue.ledger.close()
    worker.go_on.set()
    assert isinstance(list(watching)[-1], Finished)


def test_an_end_that_the_ledger_cannot_take_is_told_all_the_same(queue, make_job, monkeypatch):
    record, room = queue.ledger.record, []

    def full(job_id, event):
        if isinstance(event, Finished) and not room:
            raise StorageError("data_dir", "a full disk", "free space")
        record(job_id, event)

    monkeypatch.setattr(queue.ledger, "record", full)
    job_id = queue.submit(make_job(), "server")
    list(queue.watch(job_id))
    assert queue.ledger.get(job_id).state == "running"  # which is why memory has to know
    assert queue.job(job_id).state == queue.jobs()[0].state == "finished"
    assert not queue.cancel(job_id) and isinstance(list(queue.watch(job_id))[-1], Finished)
    queue.settle()
    assert queue.ledger.get(job_id).state == "running"
    room.append("made by the user")
    queue.settle()
    assert queue.ledger.get(job_id).state == "finished" and not queue.lives(job_id)


def test_closing_tells_everybody_why(queue, make_job):
    running, waiting = queue.submit(make_job("wait"), "server"), queue.submit(make_job(), "server")
    until(lambda: queue.job(running).state == "running")
    queue.close()
    assert queue.ledger.get(running).state == "failed"
    assert "closed before this job began" in queue.ledger.get(waiting).error


def test_what_a_failed_job_left_behind_is_removed(queue, worker, make_job, settings):
    job = make_job("fail")
    job.out.parent.mkdir(parents=True)
    (job.out.parent / ".half.part").write_bytes(b"half")
    list(queue.watch(queue.submit(job, "server")))
    until(lambda: not job.out.parent.exists())
    assert settings.outputs_dir.exists()


def test_what_stays_worth_knowing_is_kept_while_the_job_runs(queue, worker, make_job, monkeypatch):
    scripted = worker.run

    def stepping_down(task):
        yield Loading("Memory ran out; trying again with weights of 8 bits", stays=True)
        yield from scripted(task)

    monkeypatch.setattr(worker, "run", stepping_down)
    job_id = queue.submit(replace(make_job("wait"), notes=("mended",)), "server")
    until(lambda: queue.job(job_id).event == Loading("Reading the prompt"))
    assert queue.job(job_id).notes == ("mended", "Memory ran out; trying again with weights of 8 bits")
    worker.go_on.set()


def test_a_job_whose_worker_dies_once_is_made(queue, worker, make_job, monkeypatch):
    scripted, deaths = worker.run, ["once"]

    def dying(task):
        if deaths:
            yield Loading("Reading the prompt")
            task.out.parent.mkdir(parents=True)
            (task.out.parent / ".half.part").write_bytes(b"half")
            raise WorkerDied(deaths.pop())
        assert not task.out.parent.exists()  # the second try finds nothing of the first
        yield from scripted(task)

    monkeypatch.setattr(worker, "run", dying)
    job_id = queue.submit(make_job(), "server")
    events = list(queue.watch(job_id))
    assert isinstance(events[-1], Finished)
    assert Loading("The engine stopped; trying once more", stays=True) in events
    assert queue.ledger.tries(job_id) == 2


def test_a_job_that_kills_its_worker_twice_is_given_up(queue, worker, make_job):
    job_id, good = queue.submit(make_job("die"), "server"), queue.submit(make_job(), "server")
    assert list(queue.watch(job_id))[-1].error == "Given up after 2 tries: it died"
    assert isinstance(list(queue.watch(good))[-1], Finished)
    assert worker.ran == ["die", "die", "a cat"] and queue.ledger.tries(job_id) == 2


def test_a_result_whose_news_died_with_the_worker_is_not_made_again(queue, worker, make_job, settings, monkeypatch):
    def dying(task):
        task.out.parent.mkdir(parents=True)
        task.out.write_bytes(b"a video")
        receipts.write(task.receipt, result_of(task))
        raise WorkerDied("between the file and its news")
        yield

    monkeypatch.setattr(worker, "run", dying)
    job = make_job()
    last = list(queue.watch(queue.submit(job, "server")))[-1]
    assert isinstance(last, Finished) and last.result.file.read_bytes() == b"a video"
    assert queue.ledger.tries(job.id) == 1
    until(lambda: not list(settings.receipts_dir.iterdir()))


def test_a_waiting_job_can_be_moved_among_its_owners(queue, worker, make_job):
    first = queue.submit(make_job("wait"), "server")
    until(lambda: queue.job(first).state == "running")
    jobs = {prompt: queue.submit(make_job(prompt), "server") for prompt in ("b", "c", "d")}
    assert queue.move(jobs["d"], "front") and queue.move(jobs["b"], "down")
    assert [queue.job(jobs[name]).event.position for name in "dcb"] == [1, 2, 3]
    # A studio that is killed now goes on in this order.
    waiting = [one.job.request.prompt for one in queue.ledger.unfinished()["server"] if one.job.id != first]
    assert waiting == ["d", "c", "b"]
    assert not queue.move(first, "front") and not queue.move("no such job", "front")
    worker.go_on.set()
    list(queue.watch(jobs["b"]))
    assert worker.ran == ["wait", "d", "c", "b"]


def test_an_order_that_cannot_be_written_is_not_taken(queue, worker, make_job, monkeypatch):
    def full(slots):
        raise StorageError("data_dir", "a full disk", "free space")

    first = queue.submit(make_job("wait"), "server")
    until(lambda: queue.job(first).state == "running")
    jobs = [queue.submit(make_job(prompt), "server") for prompt in "bc"]
    monkeypatch.setattr(queue.ledger, "arrange", full)
    with pytest.raises(StorageError):
        queue.move(jobs[1], "front")
    assert queue.job(jobs[0]).event == Queued(1)
    worker.go_on.set()


def test_owners_take_turns(queue, worker, make_job):
    first = queue.submit(make_job("wait", owner="anna"), "server")
    until(lambda: queue.job(first).state == "running")
    for prompt in ("a1", "a2", "a3"):
        last = queue.submit(make_job(prompt, owner="anna"), "server")
    ben = queue.submit(make_job("b1", owner="ben"), "server")
    assert queue.job(ben).event == Queued(2)
    worker.go_on.set()
    list(queue.watch(last))
    assert worker.ran == ["wait", "a1", "b1", "a2", "a3"]


def test_the_time_until_a_job_begins_is_told_once_it_is_known(queue, worker, make_job, monkeypatch):
    scripted = worker.run

    def timed(task):
        for event in scripted(task):
            done = isinstance(event, Finished)
            yield Finished(replace(event.result, timings={"total": 8.0})) if done else event

    monkeypatch.setattr(worker, "run", timed)
    running, waiting = queue.submit(make_job("wait"), "server"), queue.submit(make_job("x"), "server")
    until(lambda: queue.job(running).event == Loading("Reading the prompt"))
    assert queue.job(waiting).event == Queued(1, None)  # nothing of the kind was ever made
    worker.go_on.set()
    list(queue.watch(waiting))
    worker.go_on.clear()
    queue.submit(make_job("wait"), "server")
    second, third = queue.submit(make_job("y"), "server"), queue.submit(make_job("z"), "server")
    etas = [queue.job(one).event.eta for one in (second, third)]
    assert 6.0 < etas[0] <= 8.0 and etas[1] == pytest.approx(etas[0] + 8.0, abs=0.5)
    assert [job.event.eta for job in queue.jobs()[-2:]] == pytest.approx(etas, abs=0.5)
    worker.go_on.set()


def test_an_ended_job_can_be_forgotten_and_no_other(queue, worker, make_job):
    job_id = queue.submit(make_job("wait"), "server")
    assert not queue.forget(job_id)
    worker.go_on.set()
    list(queue.watch(job_id))
    assert queue.forget(job_id) and queue.job(job_id) is None and queue.jobs() == []
