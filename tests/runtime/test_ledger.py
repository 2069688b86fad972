from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from tests.fakes import TINY_JPEG, result_of
from wan_app.errors import StorageError
from wan_app.runtime.ledger import Ledger
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
