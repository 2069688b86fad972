"""A short storm with every test run; the long one is `python -m tests.faults --kills 50`."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.fakes import result_of
from tests.faults.__main__ import run
from tests.faults.checks import audit, check_file, check_marks
from wan_app.media.marks.keys import InstallKeys
from wan_app.runtime.job import Task
from wan_app.runtime.ledger import Ledger
from wan_app.types import Finished

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and SIGSTOP")


@pytest.mark.slow
def test_a_few_kills_lose_nothing_and_leave_nothing(tmp_path):
    told, found, shown = run(tmp_path, kills=6, seed=2, quiet=True)
    assert found.wrong == [], shown
    assert sum(told.strikes.values()) == 6 and len(told.wanted) >= 5


def test_the_audit_sees_what_is_wrong(settings, make_job, make_task):
    """A check that cannot fail would be worth nothing."""
    ledger = Ledger(settings.ledger_file)
    jobs = {name: make_job() for name in ("fine", "gone", "half", "stuck", "twice")}
    for job in jobs.values():
        ledger.add(job, "server")
    for name in ("gone", "half", "twice"):
        ledger.record(jobs[name].id, Finished(result_of_job(jobs[name])))
    ledger.close()
    for name in ("half", "twice", "stuck"):
        jobs[name].out.parent.mkdir(parents=True)
        jobs[name].out.write_bytes(b"half a video")
    (jobs["twice"].out.parent / "again.mp4").write_bytes(b"")
    (settings.outputs_dir / "nobody's").mkdir()
    found = audit(settings, {"never-written": "finished", jobs["fine"].id: "finished"})
    assert [line.split()[0] for line in found.lost] == ["never-written", jobs["fine"].id, jobs["gone"].id,
                                                       jobs["twice"].id]
    assert [line.split()[0] for line in found.duplicated] == [jobs["twice"].id]
    assert [line.split(":")[0] for line in found.broken] == [jobs["half"].id]
    assert [line.split(",")[0] for line in found.left_over] == [jobs["stuck"].id, "nobody's"]


def result_of_job(job):
    return result_of(Task(job_id=job.id, request=job.request, out=job.out, log=job.out))


def test_a_file_without_our_marks_is_seen(settings, make_task, tmp_path):
    soundfile.write(tmp_path / "plain.wav", np.zeros(16_000, np.float32), 16_000)
    said = check_marks(tmp_path / "plain.wav", result_of(make_task()), InstallKeys.of(settings))
    assert said == "its credentials are none"


def test_a_picture_is_no_video(make_task, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "clip.png")
    (tmp_path / "clip.png").rename(tmp_path / "clip.mp4")
    assert check_file(tmp_path / "clip.mp4", result_of(make_task()))
