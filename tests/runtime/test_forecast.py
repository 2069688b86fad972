from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes import result_of
from wan_app.errors import StorageError
from wan_app.runtime.forecast import Forecast
from wan_app.runtime.job import Task
from wan_app.types import Loading, Step


@pytest.fixture
def ran(make_job):
    """A finished job that took so many seconds, with changes to its request."""
    def make(seconds, **changes):
        job = make_job()
        job = replace(job, request=replace(job.request, **changes))
        task = Task(job_id=job.id, request=job.request, out=job.out, log=job.out)
        return replace(job, state="finished", result=replace(result_of(task), timings={"total": seconds}))

    return make


def test_nothing_is_said_where_nothing_was_measured(make_job):
    assert Forecast(lambda model, limit: []).seconds(make_job().request) is None


def test_the_same_work_takes_what_it_took(ran, make_job):
    known = Forecast(lambda model, limit: [ran(4.0), ran(100.0), ran(5.0), ran(50.0, num_frames=9)])
    assert known.seconds(make_job().request) == 5.0  # the median, which one slow run does not move


def test_other_work_of_the_model_is_scaled_as_far_as_that_is_honest(ran, make_job):
    known, request = Forecast(lambda model, limit: [ran(6.0)]), make_job().request
    assert known.seconds(replace(request, num_inference_steps=6)) == pytest.approx(12.0)
    assert known.seconds(replace(request, num_inference_steps=60)) is None
    assert known.seconds(replace(request, sound_only=True)) is None


def test_a_job_that_finishes_is_learned(ran, make_job):
    known = Forecast(lambda model, limit: [])
    known.learn(ran(7.0))
    assert known.seconds(make_job().request) == 7.0


def test_what_is_left_is_the_pipelines_word_else_the_jobs_before(ran, make_job):
    known, request = Forecast(lambda model, limit: [ran(10.0)]), make_job().request
    assert known.left(request, Step(1, 2, eta=3.5), elapsed=1.0) == 3.5
    assert known.left(request, Loading("x"), elapsed=4.0) == 6.0
    assert known.left(request, None, elapsed=40.0) == 0.0


def test_a_ledger_that_cannot_be_read_costs_the_time_only(make_job):
    def broken(model, limit):
        raise StorageError("data_dir", "a broken disk", "another")

    assert Forecast(broken).seconds(make_job().request) is None
