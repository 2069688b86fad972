"""Downloads as the page sees them: begun once, watched, cancelled, failed, and begun again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_app.errors import StorageError
from wan_app.runtime.downloads import Downloads
from wan_app.types import Cancelled, Downloaded, Downloading, Failed, Loading, Reporter

DONE = Downloaded(model="m", repository="a/b", commit="c", folder=Path("/w"), total=9, fetched=9, seconds=1.0)


class Fetching:
    """A download that waits to be told how to go on."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = threading.Event()
        self.fault: Exception | None = None

    def __call__(self, model_id: str, report: Reporter) -> Downloaded:
        self.begun += 1
        report(Downloading(3, 9, 2.0))
        while not self.go.wait(0.01):
            report.check()
        if self.fault:
            raise self.fault
        return DONE


@pytest.fixture
def fetching() -> Fetching:
    return Fetching()


@pytest.fixture
def downloads(fetching: Fetching) -> Iterator[Downloads]:
    one = Downloads(fetching)
    yield one
    one.close()


def test_it_is_watched_to_its_end(downloads: Downloads, fetching: Fetching) -> None:
    assert downloads.start("m").state == "running"
    events = downloads.watch("m")
    first = next(events)
    if first == Loading("Asking the hub what there is"):
        first = next(events)
    assert first == Downloading(3, 9, 2.0)
    assert downloads.views()[0].to_json() == {
        "model": "m", "state": "running", "error": None,
        "progress": {"event": "Downloading", "done": 3, "total": 9, "eta": 2.0},
    }
    fetching.go.set()
    assert list(events) == [DONE]
    view = downloads.view("m")
    assert view and view.ended and view.exit_code == 0 and view.result == DONE
    assert list(downloads.watch("m")) == [DONE]
    assert view.to_json()["result"]["folder"] == "/w"


def test_a_second_start_joins_the_first(downloads: Downloads, fetching: Fetching) -> None:
    downloads.start("m")
    downloads.start("m")
    fetching.go.set()
    list(downloads.watch("m"))
    assert fetching.begun == 1
    downloads.start("m")
    list(downloads.watch("m"))
    assert fetching.begun == 2


def test_a_cancel_ends_it_and_it_can_begin_again(downloads: Downloads, fetching: Fetching) -> None:
    downloads.start("m")
    downloads.cancel("m")
    assert list(downloads.watch("m"))[-1] == Cancelled()
    view = downloads.view("m")
    assert view and view.state == "cancelled" and view.exit_code == 130
    fetching.go.set()
    downloads.start("m")
    assert list(downloads.watch("m"))[-1] == DONE


@pytest.mark.parametrize("fault, said, kind, code", [
    (StorageError("download", "0 GB", "9 GB"), "download: got 0 GB; needed 9 GB", "StorageError", 2),
    (RuntimeError("boom"), "The download failed with RuntimeError: boom", "WanAppError", 1),
])
def test_a_failure_is_one_line(
    downloads: Downloads, fetching: Fetching, fault: Exception, said: str, kind: str, code: int
) -> None:
    fetching.fault = fault
    fetching.go.set()
    downloads.start("m")
    assert list(downloads.watch("m"))[-1] == Failed(said, kind, code)
    view = downloads.view("m")
    assert view and view.state == "failed" and view.error == said and view.exit_code == code


def test_nothing_to_watch_or_cancel_is_no_error(downloads: Downloads) -> None:
    assert list(downloads.watch("nobody")) == [] and downloads.view("nobody") is None
    downloads.cancel("nobody")


def test_closing_stops_them(downloads: Downloads, fetching: Fetching) -> None:
    downloads.start("m")
    downloads.close()
    view = downloads.view("m")
    assert view and view.state == "cancelled"
