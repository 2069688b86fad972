"""Somebody's browser without a page: does what the page does over HTTP, and times it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

_PATIENCE = 120.0


@dataclass
class Visitor:
    """One visitor of a studio; `codes` and `seconds` of everything that was asked, by what it was."""

    url: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=6)  # as a browser
        self.client = httpx.AsyncClient(base_url=self.url, timeout=_PATIENCE, limits=limits)
        self._ticks: dict[str, dict[str, Any]] = {}

    async def enter(self, path: str, **form: str) -> None:
        """By a guest link, or with a password."""
        answer = await (self.client.post(path, data=form) if form else self.client.get(path))
        assert answer.status_code in (200, 303), answer.text

    async def open(self) -> None:
        """Load the page and learn from its config what its clocks ask."""
        await self._ask("page", "GET", "")
        config = (await self._ask("config", "GET", "config")).json()
        parts = {one["id"]: one for one in config["components"]}
        for dep in config["dependencies"]:
            kinds = [(part, event) for part, event in dep["targets"] if event == "tick"]
            keys = [parts[one]["props"].get("storage_key") for one in dep["inputs"]]
            if kinds and keys == ["wan-app-session"]:
                # The job's own clock changes the card alone or ends; the queue's is slower.
                slow = parts[kinds[0][0]]["props"]["value"] >= 1.0
                self._ticks["queue" if slow else "tick"] = dep
        assert set(self._ticks) == {"tick", "queue"}, list(self._ticks)

    async def submit(self, **given: Any) -> str:
        """Id of a queued job, over the API."""
        return str((await self.call("submit", **{"mode": "text", **given}))[0])

    async def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """A picture or a sound, as the API's inputs take it."""
        answer = await self._ask("upload", "POST", "gradio_api/upload", files={"files": (name, data)})
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job's row."""
        return dict((await self.call("job", job_id=job_id))[0])

    async def call(self, name: str, **given: Any) -> list[Any]:
        """What an endpoint of the API answers."""
        began = time.monotonic()
        event = (await self._ask("call", "POST", f"gradio_api/call/v2/{name}", json=given)).json()["event_id"]
        told = await self._ask("call", "GET", f"gradio_api/call/v2/{name}/{event}")
        self.seconds.setdefault(name, []).append(time.monotonic() - began)
        kind, data = _last(told.text)
        if kind != "complete":
            raise AssertionError(f"{name}: {data}")
        return list(json.loads(data))

    async def look(self, job_id: str, what: str = "tick") -> str:
        """What the page's clock ("tick", or "queue" for the list of what waits) brings of a job, as text."""
        dep = self._ticks[what]
        body = {
            "fn_index": dep["id"], "data": [{"job": job_id}], "session_hash": f"v{id(self)}",
            "trigger_id": dep["targets"][0][0],
        }
        return (await self._ask(what, "POST", "gradio_api/run/predict", json=body)).text

    async def close(self) -> None:
        """Leave."""
        await self.client.aclose()

    async def _ask(self, what: str, method: str, path: str, **rest: Any) -> httpx.Response:
        began = time.monotonic()
        answer = await self.client.request(method, path, **rest)
        self.seconds.setdefault(what, []).append(time.monotonic() - began)
        if answer.status_code != 200 or "Traceback" in answer.text:
            self.wrong.append(f"{what} {path}: {answer.status_code} {answer.text[:200]}")
        return answer


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _last(stream: str) -> tuple[str, str]:
    """(event, data) at the end of an event stream."""
    kind = data = ""
    for line in stream.splitlines():
        if line.startswith("event:"):
            kind = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
    return kind, data
