from __future__ import annotations

from tests.fakes import result_of
from wan_app.runtime import receipts


def made(task):
    task.out.parent.mkdir(parents=True)
    task.out.write_bytes(b"a video")
    return result_of(task)


def test_a_receipt_gives_the_result_back(make_task, tmp_path):
    result = made(make_task())
    receipts.write(tmp_path / "new folder" / "job.json", result)
    assert receipts.read(tmp_path / "new folder" / "job.json") == result
    receipts.remove(tmp_path / "new folder" / "job.json")
    assert receipts.read(tmp_path / "new folder" / "job.json") is None
    assert list((tmp_path / "new folder").iterdir()) == []


def test_a_file_that_is_not_as_it_was_is_no_result(make_task, tmp_path):
    task = make_task()
    receipts.write(tmp_path / "job.json", made(task))
    task.out.write_bytes(b"half")
    assert receipts.read(tmp_path / "job.json") is None
    task.out.unlink()
    assert receipts.read(tmp_path / "job.json") is None


def test_half_a_receipt_is_none(make_task, tmp_path):
    receipts.write(tmp_path / "job.json", made(make_task()))
    for text in ("", "{", "[]", "null", '{"size": 7}', '{"size": 7, "result": {}}'):
        (tmp_path / "job.json").write_text(text)
        assert receipts.read(tmp_path / "job.json") is None


def test_a_disk_that_takes_no_receipt_costs_no_result(make_task, tmp_path):
    (tmp_path / "file").write_text("")
    receipts.write(tmp_path / "file" / "job.json", made(make_task()))
