from __future__ import annotations

import os
import time
from dataclasses import replace

from wan_app.runtime.leftovers import discard_output, sweep


def test_a_sweep_takes_what_grows_for_nobody_and_nothing_else(settings, make_job):
    ended, alive = make_job(), make_job()
    for job in (ended, alive):
        job.out.parent.mkdir(parents=True)
        for name in (f".{job.id}.part", f".{job.id}.f32", f".{job.id}.frames.part"):
            (job.out.parent / name).write_bytes(b"half")
        job.out.write_bytes(b"whole")
    settings.inputs_dir.mkdir()
    for name, age in ((".now.part", 0), (".old.part", 7200), ("face.png", 7200)):
        (settings.inputs_dir / name).write_bytes(b"")
        os.utime(settings.inputs_dir / name, (time.time() - age,) * 2)
    assert sweep(settings, lambda: {alive.id}) == 4
    assert [one.name for one in ended.out.parent.iterdir()] == ["clip.mp4"]
    assert len(list(alive.out.parent.iterdir())) == 4
    assert sorted(one.name for one in settings.inputs_dir.iterdir()) == [".now.part", "face.png"]


def test_a_sweep_of_nothing_is_nothing(settings):
    assert sweep(settings, lambda: set()) == 0


def test_what_the_user_named_is_left(settings, make_job, tmp_path):
    job = replace(make_job(), out=tmp_path / "clip.mp4")
    for name in ("clip.mp4", f".{job.id}.part", f".{job.id}.f32", ".other.part"):
        (tmp_path / name).write_bytes(b"")
    discard_output(settings, job)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".other.part", "clip.mp4"]
