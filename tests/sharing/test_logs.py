"""What the log tells, and what it keeps to itself; numbers for Prometheus."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wan_app.settings import Settings
from wan_app.sharing import logs
from wan_app.sharing.metrics import Metrics, Sample


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def started() -> Iterator[Any]:
    handlers = []

    def start(settings: Settings) -> Path:
        handlers.append(logs.start(settings))
        return settings.logs_dir / "studio.jsonl"

    yield start
    for one in handlers:
        logs.stop(one)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_job_has_its_id_and_no_prompt(settings: Settings, started: Any) -> None:
    path = started(settings)
    extra = {"job": "j-1", "mode": "text", "prompt": "my secret", "owner": "guest:1", "anything": "else"}
    logging.getLogger("wan_app.test").info("job queued", extra=extra)
    row = rows(path)[-1]
    assert row["job"] == "j-1" and row["level"] == "info" and row["message"] == "job queued" and "T" in row["time"]
    assert "secret" not in path.read_text() and "anything" not in row


def test_prompts_are_written_where_that_was_asked_for(settings: Settings, started: Any) -> None:
    path = started(replace(settings, log_prompts=True))
    logging.getLogger("wan_app.test").info("job queued", extra={"prompt": "a fox"})
    assert rows(path)[-1]["prompt"] == "a fox"


def test_tokens_are_taken_out_and_faults_kept(settings: Settings, started: Any) -> None:
    path = started(settings)
    try:
        raise ValueError("at /guest/abcdefghijklmnop with Bearer abcdefghijkl")
    except ValueError:
        logging.getLogger("wan_app.test").exception("failed for wan_app_session_1=o.abcdefghijklmnop.1.f")
    text = path.read_text()
    assert "abcdefghijkl" not in text and rows(path)[-1]["error"] == "ValueError" and "Traceback" in text


def test_odd_words_make_one_line_each(settings: Settings, started: Any) -> None:
    path = started(settings)
    logging.getLogger("wan_app.test").warning("two\nlines \u2028 \ud800 %s", Path("x"))
    assert "lines" in json.loads(path.read_text(encoding="utf-8").strip("\n").split("\n")[-1])["message"]


def test_numbers_are_told_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.answered("page", 200, 0.01)
    metrics.answered("page", 200, 2.0)
    metrics.count("wan_app_refused_total", reason='a "b"\n')
    lines = metrics.text([Sample("wan_app_jobs", 3, {"state": "queued"})]).splitlines()
    assert 'wan_app_requests_total{route="page",status="200"} 2' in lines
    assert 'wan_app_jobs{state="queued"} 3' in lines and "# TYPE wan_app_jobs gauge" in lines
    buckets = [line for line in lines if line.startswith("wan_app_request_seconds_bucket")]
    counts = [int(line.rpartition(" ")[2]) for line in buckets]
    assert counts == sorted(counts)
    assert buckets[-1] == 'wan_app_request_seconds_bucket{le="+Inf"} 2'
    assert 'wan_app_refused_total{reason="a \\"b\\" "} 1' in lines
    assert lines.count("# TYPE wan_app_request_seconds histogram") == 1
