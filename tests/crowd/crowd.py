"""Many visitors at once, each by a guest link of their own: whose turn it is, and how long a look takes."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Studio
from tests.visitor import Visitor, percentile
from wan_app.sharing.guests import Guests
from wan_app.sharing.store import Store

# Seconds between two looks of a page at its job and at the queue, as in ui.launch.
_TICK, _QUEUE_TICK = 0.5, 1.0
# No word of a log may hold this: everybody's prompt does.
SECRET = "zebra-in-the-moonlight"
_SMALL = {"seconds": 0.6, "width": 96, "height": 96, "num_inference_steps": 2}


@dataclass
class Seen:
    """What came of it."""

    order: list[int] = field(default_factory=list)  # visitors by the end of their jobs, first to last
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    cpu: float = 0.0  # of the server, seconds, while the jobs were looked at
    looks: int = 0

    def unfair(self, visitors: int) -> list[str]:
        """Jobs that ran before others whose owner had had fewer."""
        had: Counter[int] = Counter()
        found = []
        for place, who in enumerate(self.order):
            waiting = [one for one in range(visitors) if self.order[place:].count(one)]
            least = min(had[one] for one in waiting)
            if had[who] > least:
                found.append(f"place {place + 1}: visitor {who + 1} for the {had[who] + 1}. time, {least + 1}. due")
            had[who] += 1
        return found

    def p95(self, what: str = "tick") -> float:
        """Seconds that 95 of 100 looks did not exceed."""
        return percentile(self.seconds.get(what, []), 0.95)


def run(folder: Path, *, visitors: int, jobs: int, say: Callable[[str], Any] = print) -> Seen:
    """Start a studio behind a password, let them all come, and close it again."""
    password = secrets.token_urlsafe(16)
    studio = Studio(folder, WAN_APP_PASSWORD=password)
    studio.start()
    try:
        store = Store(studio.data_dir / "keys" / "sharing.sqlite3")
        made = [Guests(store).create(label=f"guest {one}", jobs=jobs, seconds=60.0 * jobs, places=jobs)[1]
                for one in range(visitors)]
        store.close()
        seen = asyncio.run(_crowd(studio, password, made, jobs, say))
    finally:
        studio.stop()
    seen.wrong += _leaks(studio)
    return seen


async def _crowd(studio: Studio, password: str, links: list[str], jobs: int, say: Callable[[str], Any]) -> Seen:
    owner, guests = Visitor(studio.url), [Visitor(studio.url) for _ in links]
    seen, server = Seen(), studio.process()
    try:
        await owner.enter("login", password=password)
        await asyncio.gather(*(one.enter(f"guest/{link}") for one, link in zip(guests, links)))
        await asyncio.gather(*(one.open() for one in guests))
        say(f"{len(guests)} pages are open")
        # While this runs, everybody queues: then it is clear whose turn it is.
        blocker = await owner.submit(prompt=f"{SECRET} for ages", **_SMALL)
        ids = await _queued(guests, jobs)
        say(f"{len(ids)} jobs wait")
        before = server.cpu_times()
        watching = [asyncio.create_task(_watch(one, [job for job, who in ids.items() if who == number]))
                    for number, one in enumerate(guests)]
        await asyncio.sleep(3.0)
        await owner.call("cancel", job_id=blocker)
        await asyncio.gather(*watching)
        after = server.cpu_times()
        seen.cpu = after.user + after.system - before.user - before.system
        seen.order = [ids[row["job"]] for row in _ended(studio) if row.get("job") in ids]
        seen.wrong += [f"{row['job']} {row['state']}" for row in _ended(studio)
                       if row.get("job") in ids and row["state"] != "finished"]
        seen.wrong += await _peeked(guests, ids)
        await _measured(owner, seen)
    finally:
        await asyncio.gather(*(one.close() for one in (owner, *guests)))
    for one in (owner, *guests):
        seen.wrong += one.wrong
        for what, values in one.seconds.items():
            seen.seconds.setdefault(what, []).extend(values)
    seen.looks = len(seen.seconds.get("tick", [])) + len(seen.seconds.get("queue", []))
    return seen


async def _queued(guests: list[Visitor], jobs: int) -> dict[str, int]:
    """Whose job is whose. Each sends all of theirs before the next one sends any: the first come could take all."""
    ids: dict[str, int] = {}
    for number, one in enumerate(guests):
        for index in range(jobs):
            job_id = await one.submit(prompt=f"{SECRET} {number} {index}", seed=number, **_SMALL)
            ids[job_id] = number
    return ids


async def _watch(one: Visitor, jobs: list[str]) -> None:
    """Look as a page does, at the first job that has not ended and at the queue, until all have."""
    async def every(pause: float, look: Callable[[], Awaitable[Any]], done: asyncio.Event) -> None:
        while not done.is_set():
            await look()
            await asyncio.sleep(pause)

    done, left = asyncio.Event(), list(jobs)

    async def tick() -> None:
        card = await one.look(left[0])
        if any(f'data-state=\\"{state}\\"' in card for state in ("finished", "failed", "cancelled")):
            left.pop(0)
        if not left:
            done.set()

    await asyncio.gather(every(_TICK, tick, done), every(_QUEUE_TICK, lambda: one.look(jobs[0], "queue"), done))


async def _peeked(guests: list[Visitor], ids: dict[str, int]) -> list[str]:
    """What a guest could see of the next one's job: nothing, if all is well."""
    wrong = []
    for job_id, who in ids.items():
        answer = await guests[(who + 1) % len(guests)].client.get(f"files/{job_id}/x.mp4")
        if answer.status_code != 404 and len(guests) > 1:
            wrong.append(f"a stranger got {answer.status_code} for {job_id}")
    return wrong


async def _measured(owner: Visitor, seen: Seen) -> None:
    """What the server says of itself: /healthz for anybody, /metrics for its owner."""
    health = (await owner.client.get("healthz")).json()
    told = (await owner.client.get("metrics")).text
    if health.get("status") != "ok":
        seen.wrong.append(f"healthz: {health}")
    for name in ("requests_total", "request_seconds_bucket", "jobs", "queue_length", "memory_bytes", "disk_free_bytes"):
        if f"\nwan_app_{name}" not in told:
            seen.wrong.append(f"metrics: wan_app_{name} is missing")
    if SECRET in told:
        seen.wrong.append("metrics: a prompt is in it")


def _ended(studio: Studio) -> list[dict[str, Any]]:
    """Rows of the log on jobs that ended, in order."""
    file = studio.data_dir / "logs" / "studio.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["message"] == "job ended"]


def _leaks(studio: Studio) -> list[str]:
    """Logs in which a prompt, or a fault of ours, is written down."""
    logs = {one.name: one.read_text(encoding="utf-8", errors="replace")
            for one in (studio.data_dir / "logs").rglob("*") if one.is_file()} | {"console": studio.log()}
    return [f"{name}: {what}" for name, text in logs.items() for what in (SECRET, "Traceback") if what in text]
