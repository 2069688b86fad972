from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.fakes import result_of
from wan_app.runtime.job import event_from_json, event_to_json, new_job_id
from wan_app.types import (
    Cancelled,
    Downloading,
    Exporting,
    Failed,
    Finished,
    Loading,
    Queued,
    Step,
)


def test_ids_sort_by_time_and_cannot_be_guessed():
    ids = []
    for _ in range(5):
        ids.append(new_job_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    # 20 hex digits of chance after the time, none shared between neighbours.
    tails = [one.split("-")[1] for one in ids]
    assert all(len(tail) == 20 for tail in tails) and len({tail[:4] for tail in tails}) > 1


@pytest.mark.parametrize("event", [
    Queued(3), Downloading(1, 2), Loading("Reading"), Step(2, 16, 1.5), Exporting("Decoding"),
    Failed("no", "OutOfMemory", 4), Cancelled(),
])
def test_events_survive_json(event):
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


def test_a_finished_event_survives_json(make_task):
    event = Finished(result_of(make_task()))
    back = event_from_json(json.loads(json.dumps(event_to_json(event))))
    assert back == event and isinstance(back.result.file, Path)


def test_previews_stay_out_of_json():
    assert event_from_json(event_to_json(Step(1, 2, None, b"jpeg"))) == Step(1, 2)


def test_a_row_tells_file_or_error_or_progress(make_job, make_task):
    from dataclasses import replace

    job = make_job()
    running = replace(job, state="running", event=Step(1, 2))
    assert running.to_json()["progress"]["index"] == 1
    failed = replace(job, state="failed", failure=Failed("too big", "OutOfMemory", 4)).to_json()
    assert (failed["error"], failed["exit_code"]) == ("too big", 4) and failed["file"] is None
    done = replace(job, state="finished", result=result_of(make_task())).to_json()
    assert done["file"].endswith("clip.mp4") and done["error"] is None
    assert replace(job, state="cancelled").exit_code == 130
