"""Downloads of weights, one thread each: asked for by name, watched and cancelled like jobs, but no jobs.

They are not in the ledger: what a download leaves on the disk is all that the next one needs to go on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_app import errors
from wan_app.runtime.job import event_to_json
from wan_app.types import Cancelled, Downloaded, Downloading, Failed, JobState, Loading, Reporter

log = logging.getLogger(__name__)

DownloadEvent = Loading | Downloading | Downloaded | Failed | Cancelled
Fetch = Callable[[str, Reporter], Downloaded]
_STATES: dict[type, JobState] = {Downloaded: "finished", Failed: "failed", Cancelled: "cancelled"}
# A download stops within a second; nobody waits longer for it when the app closes.
_STOP_WITHIN = 2.0


@dataclass(frozen=True)
class DownloadView:
    """A download as it stands; `event` is the last one that came."""

    model: str
    event: DownloadEvent

    @property
    def state(self) -> JobState:
        return _STATES.get(type(self.event), "running")

    @property
    def ended(self) -> bool:
        return type(self.event) in _STATES

    @property
    def result(self) -> Downloaded | None:
        return self.event if isinstance(self.event, Downloaded) else None

    @property
    def error(self) -> str | None:
        """One line for the user, of a failed download."""
        return self.event.error if isinstance(self.event, Failed) else None

    @property
    def exit_code(self) -> int:
        """What the command line ends with for this download."""
        if isinstance(self.event, Failed):
            return self.event.exit_code
        return errors.Cancelled.exit_code if isinstance(self.event, Cancelled) else 0

    def to_json(self) -> dict[str, Any]:
        """model, state, and `progress`, `result` or `error`."""
        row: dict[str, Any] = {"model": self.model, "state": self.state, "error": self.error}
        if self.result:
            row["result"] = self.result.to_json()
        elif not self.ended:
            row["progress"] = event_to_json(self.event)  # type: ignore[arg-type]
        return row


class _Live:
    """One download and the `Reporter` of its thread. Only the last event is kept: it says it all."""

    windows: Path | None = None

    def __init__(self, model_id: str, changed: threading.Condition) -> None:
        self.view = DownloadView(model_id, Loading("Asking the hub what there is"))
        self.stop = threading.Event()
        self._changed = changed

    def __call__(self, event: Any) -> None:
        with self._changed:
            self.view = DownloadView(self.view.model, event)
            self._changed.notify_all()

    def check(self) -> None:
        if self.stop.is_set():
            raise errors.Cancelled

    def watched(self) -> Iterator[DownloadEvent]:
        """The event of now and each that is new whenever the watcher looks again, to the end."""
        seen: DownloadView | None = None
        while seen is None or not seen.ended:
            with self._changed:
                while self.view is seen:
                    self._changed.wait()
                seen = self.view
            yield seen.event


class Downloads:
    """The downloads of this process by model id. All methods are thread-safe.

    Args:
        fetch: brings one model here, reporting; blocks.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._changed = threading.Condition()
        self._live: dict[str, _Live] = {}
        self._threads: dict[str, threading.Thread] = {}

    def start(self, model_id: str) -> DownloadView:
        """Begin, or go on with what an earlier one left; one that is running is left alone."""
        with self._changed:
            live = self._live.get(model_id)
            if live is None or live.view.ended:
                live = self._live[model_id] = _Live(model_id, self._changed)
                thread = threading.Thread(
                    target=self._work, args=(model_id, live), name=f"download {model_id}", daemon=True
                )
                self._threads[model_id] = thread
                thread.start()
            return live.view

    def view(self, model_id: str) -> DownloadView | None:
        """The last download of a model as it stands; None if this process has begun none."""
        with self._changed:
            live = self._live.get(model_id)
            return live.view if live else None

    def views(self) -> list[DownloadView]:
        """Every download of this process, the latest of each model."""
        with self._changed:
            return [live.view for live in self._live.values()]

    def cancel(self, model_id: str) -> None:
        """Ask a download to stop; what came so far stays. Nothing happens if it has ended."""
        with self._changed:
            if live := self._live.get(model_id):
                live.stop.set()

    def watch(self, model_id: str) -> Iterator[DownloadEvent]:
        """What happens from now on, beginning with the last event, until the download has ended."""
        with self._changed:
            live = self._live.get(model_id)
        return live.watched() if live else iter(())

    def close(self) -> None:
        """Stop them all; they go on where they were when they are asked for again."""
        with self._changed:
            for live in self._live.values():
                live.stop.set()
        for thread in self._threads.values():
            thread.join(timeout=_STOP_WITHIN)

    def _work(self, model_id: str, live: _Live) -> None:
        try:
            live(self._fetch(model_id, live))
        except errors.Cancelled:
            live(Cancelled())
        except errors.WanAppError as error:
            live(Failed(str(error), type(error).__name__, error.exit_code))
        except Exception as error:
            log.exception("Download of %s", model_id)
            live(Failed(f"The download failed with {type(error).__name__}: {error}"))
