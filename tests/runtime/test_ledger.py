from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from tests.fakes import TINY_JPEG, result_of
from wan_app.errors import StorageError
from wan_app.runtime.ledger import _TABLE, Ledger
from wan_app.runtime.line import Slot
from wan_app.types import Cancelled, Failed, Finished, Loading, Step


@pytest.fixture
def ledger(settings):
    one = Ledger(settings.ledger_file)
    yield one
    one.close()


def test_a_job_reads_back_as_it_was_written(ledger, make_job):
    job = make_job("emoji 🎈 and عربي", owner="visitor-1")
    ledger.add(job, "server")
    assert ledger.get(job.id) == job
    assert ledger.get("nope") is None


def test_events_set_state_result_and_error(ledger, make_job, make_task):
    job = make_job()
    ledger.add(job, "server")
    for event, state in (
        (Loading("x"), "running"), (Step(1, 2), "running"), (Failed("no", "OutOfMemory", 4), "failed"),
        (Cancelled(), "cancelled"), (Finished(result_of(make_task())), "finished"),
    ):
        ledger.record(job.id, event)
        row = ledger.get(job.id)
        assert (row.state, row.event) == (state, event)
        assert row.failure == (event if state == "failed" else None)
        assert (row.result is not None) == (state == "finished")


def test_jobs_come_newest_last_and_by_owner(ledger, make_job):
    made = [make_job(owner=owner) for owner in "aba"]
    for job in made:
        ledger.add(job, "server")
    assert [one.id for one in ledger.jobs()] == [one.id for one in made]
    assert [one.id for one in ledger.jobs("a")] == [made[0].id, made[2].id]


def test_unfinished_jobs_by_server(ledger, make_job):
    first, second, third = (make_job() for _ in range(3))
    for job, server in ((first, "one"), (second, "two"), (third, "one")):
        ledger.add(job, server)
    ledger.record(first.id, Cancelled())
    ledger.record(second.id, Loading("x"))
    found = ledger.unfinished()
    assert {server: [one.job.id for one in jobs] for server, jobs in found.items()} == {
        "one": [third.id], "two": [second.id],
    }


def test_previews_are_not_written_to_disk(ledger, make_job, settings):
    job = make_job()
    ledger.add(job, "server")
    ledger.record(job.id, Step(1, 2, None, TINY_JPEG * 100))
    ledger.close()
    stored = b"".join(one.read_bytes() for one in settings.data_dir.iterdir())
    assert TINY_JPEG not in stored and job.id.encode() in stored


def test_a_reader_in_another_connection_is_not_blocked(ledger, make_job, settings):
    job = make_job()
    ledger.add(job, "server")
    other = sqlite3.connect(settings.ledger_file, timeout=0)
    other.execute("BEGIN")
    assert other.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    ledger.add(make_job(), "server")  # while the other's read transaction is open
    assert other.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    other.close()


def test_many_threads_write_at_once(ledger, make_job):
    jobs = [make_job() for _ in range(40)]
    threads = [threading.Thread(target=ledger.add, args=(job, "server")) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.id for one in ledger.jobs()} == {one.id for one in jobs}


def test_a_file_that_is_no_ledger_is_one_line(tmp_path: Path):
    (tmp_path / "ledger.sqlite3").write_text("this is not a database, and long enough to be looked at" * 9)
    with pytest.raises(StorageError, match="data_dir: got .*not a database") as caught:
        Ledger(tmp_path / "ledger.sqlite3")
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="data_dir"):
        Ledger(tmp_path / "file" / "ledger.sqlite3")


def test_a_ledger_of_an_earlier_version_is_brought_up_and_keeps_its_rows(settings, make_job):
    job = make_job()
    settings.data_dir.mkdir()
    db = sqlite3.connect(settings.ledger_file)
    db.executescript(_TABLE)  # as the first version made it
    row = (job.id, "local", "old", "running", "text", "pocket", job.created, json.dumps(job.request.to_json()),
           str(job.out))
    db.execute(
        "INSERT INTO jobs (id, owner, server, state, mode, model, created, request, out) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row,
    )
    db.commit()
    db.close()
    for _ in range(2):  # the second time there is nothing to do
        one = Ledger(settings.ledger_file)
        (found,) = one.unfinished()["old"]
        # Nobody promised then that it would outlive its process.
        assert (found.job.id, found.lasting, found.starts, found.deaths) == (job.id, False, 0, 0)
        one.add(make_job(), "new", lasting=True)
        one.close()


def test_many_processes_may_bring_one_ledger_up_at_once(settings):
    settings.data_dir.mkdir()
    sqlite3.connect(settings.ledger_file).executescript(_TABLE)
    opened = []
    threads = [threading.Thread(target=lambda: opened.append(Ledger(settings.ledger_file))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    for one in opened:
        one.close()


def test_a_dead_servers_job_is_claimed_once(ledger, make_job):
    job = make_job()
    ledger.add(job, "dead", lasting=True, slot=Slot(3, 4))
    ledger.begin(job.id)
    assert [ledger.claim(job.id, "dead", server) for server in ("one", "two")] == [True, False]
    (found,) = ledger.unfinished()["one"]
    assert (found.job.state, found.starts, found.slot, found.lasting) == ("queued", 1, Slot(3, 4), True)
    ledger.record(job.id, Cancelled())
    assert not ledger.claim(job.id, "one", "two")


def test_an_order_is_kept_as_a_whole(ledger, make_job, monkeypatch):
    jobs = [make_job() for _ in range(3)]
    for place, job in enumerate(jobs):
        ledger.add(job, "server", slot=Slot(1, place))

    def order():
        return [one.job.id for one in ledger.unfinished()["server"]]

    ledger.arrange([(jobs[2].id, Slot(1, 0)), (jobs[0].id, Slot(1, 2))])
    assert order() == [jobs[2].id, jobs[1].id, jobs[0].id]
    with pytest.raises(StorageError):
        ledger.arrange([(jobs[0].id, Slot(0, 0)), (jobs[1].id, Slot(None, 0))])  # what no row may hold
    assert order() == [jobs[2].id, jobs[1].id, jobs[0].id]
    ledger.record(jobs[0].id, Loading("x"))  # nothing is left open


def test_only_what_has_ended_is_removed(ledger, make_job):
    job = make_job()
    ledger.add(job, "server")
    ledger.remove(job.id)
    assert ledger.get(job.id)
    ledger.record(job.id, Cancelled())
    ledger.remove(job.id)
    assert ledger.get(job.id) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_told_and_the_ledger_stays_whole(tmp_path, make_job):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        one = Ledger(disk / "ledger.sqlite3")
        first = make_job()
        one.add(first, "server")
        with pytest.raises(StorageError, match="full"):
            for _ in range(10_000):
                one.add(make_job("long " * 50), "server")
        rows = one.jobs()
        assert rows[0] == first
        one.close()
        again = Ledger(disk / "ledger.sqlite3")
        assert again.jobs() == rows and again._execute("PRAGMA integrity_check") == [("ok",)]
        again.close()
    finally:
        subprocess.run(["umount", disk], check=True)
