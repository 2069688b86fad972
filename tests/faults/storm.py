"""Kills at random moments over a mixed queue, and what came of it."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.studio import Gone, Studio
from wan_app.runtime.ledger import Ledger, Unfinished
from wan_app.runtime.queue import MAX_DEATHS
from wan_app.runtime.takeover import MAX_INTERRUPTIONS
from wan_app.types import Character, GenerationRequest

# What is killed, and how often of a hundred. A freeze is a worker that hangs (SIGSTOP).
_TARGETS = {"server": 42, "worker": 28, "both": 26, "freeze": 4}
_MOMENTS = ("any", "writing", "in place", "starting")
_OWNERS = ("local", "anna", "ben")
_WAITING = 5  # jobs that are kept in the queue
_LONGEST = 12.0  # seconds that a moment is waited for


@dataclass
class Told:
    """What a storm did. `wanted` is the state that each acknowledged job must come to."""

    wanted: dict[str, str] = field(default_factory=dict)
    strikes: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    lost_calls: int = 0
    moved: int = 0
    spared: int = 0


class Storm:
    """Keeps the queue full and strikes.

    A job is given up by design when its worker died twice, or the server five times, while it ran. So that
    every job must succeed here, one that has had all but the last of these is spared the last.
    """

    def __init__(self, studio: Studio, *, seed: int, requests: Callable[[random.Random], GenerationRequest]) -> None:
        self._studio, self._dice, self._requests = studio, random.Random(seed), requests
        self._hits: dict[str, Counter[str]] = {"worker": Counter(), "server": Counter()}
        assert studio.pid
        self._ledger = _opened(studio)
        self.told = Told()

    def rage(self, kills: int, say: Callable[[str], None]) -> Told:
        """Strike so many times, then let everything come to its end."""
        while (struck := sum(self.told.strikes.values())) < kills:
            self._fill()
            self._play()
            say(f"{struck + 1} of {kills}: {self._strike()}, {len(self._unfinished())} jobs unfinished")
        self._fill()
        return self.told

    def calm(self, patience: float = 600.0) -> None:
        """Wait until every job has ended. Raises TimeoutError."""
        end = time.monotonic() + patience
        while left := self._unfinished():
            assert self._studio.pid
            if time.monotonic() > end:
                raise TimeoutError(f"{len(left)} jobs do not end: {[(one.job.id, one.job.event) for one in left]}")
            time.sleep(0.2)
        self._ledger.close()

    # --- The queue ----------------------------------------------------------------------------

    def _fill(self) -> None:
        while len(self._unfinished()) < _WAITING:
            request, owner = self._requests(self._dice), self._dice.choice(_OWNERS)
            told = self._ask("submit", request=request.to_json(), owner=owner)
            if told and "id" in told:
                self.told.wanted[told["id"]] = "failed" if "poisonous" in request.prompt else "finished"
            elif told:
                raise AssertionError(told["error"])

    def _play(self) -> None:
        """Now and then somebody moves a job, or cancels one."""
        waiting = [one.job for one in self._unfinished() if one.job.state == "queued"]
        if waiting and self._dice.random() < 0.3:
            job = self._dice.choice(waiting)
            self.told.moved += bool(self._ask("move", id=job.id, owner=job.owner, to="front"))
        if waiting and self._dice.random() < 0.06:
            job = self._dice.choice(waiting)
            told = self._ask("cancel", id=job.id, owner=job.owner)
            sure = bool(told) and told.get("state") == "cancelled"  # type: ignore[union-attr]
            wanted = self.told.wanted.get(job.id, "finished")
            self.told.wanted[job.id] = "cancelled" if sure else f"cancelled or {wanted}"

    def _ask(self, do: str, **values: Any) -> dict[str, Any] | None:
        """None if the server did not live to answer: then nothing was promised."""
        try:
            return self._studio.ask(do, **values)
        except Gone:
            self.told.lost_calls += 1
            return None

    # --- The strikes --------------------------------------------------------------------------

    def _strike(self) -> str:
        target = self._dice.choices([*_TARGETS], [*_TARGETS.values()])[0]
        moment = self._dice.choice(_MOMENTS)
        self._await(moment)
        self._studio.signal(self._studio.pid, signal.SIGSTOP)  # so that who runs now is who is hit
        running = next((one.job for one in self._unfinished() if one.job.state == "running"), None)
        target = self._aimed(target, running and running.id, running and "poisonous" in running.request.prompt)
        worker = self._studio.worker()
        if target in ("worker", "both"):
            self._studio.signal(worker, signal.SIGKILL)
        if target == "freeze":
            self._studio.signal(worker, signal.SIGSTOP)
        if target in ("server", "both"):
            self._studio.kill()
        else:
            self._studio.signal(self._studio.pid, signal.SIGCONT)
        if target != "nobody":
            self.told.strikes[target] += 1
            self.told.moments[moment] += 1
        return f"{target} ({moment})"

    def _aimed(self, target: str, job_id: str | None, poisonous: bool | None) -> str:
        """The target, or another one where it would be the end of a job that has done nothing wrong."""
        hits = {name: counter[job_id or ""] for name, counter in self._hits.items()}
        wanted = target
        if target in ("worker", "freeze") and hits["worker"] >= MAX_DEATHS - 1 and not poisonous:
            target = "server"
        if target in ("server", "both") and hits["server"] >= MAX_INTERRUPTIONS - 1:
            target = "worker" if hits["worker"] < MAX_DEATHS - 1 else "nobody"
        self.told.spared += target != wanted
        if job_id:
            self._hits["worker" if target in ("worker", "freeze") else "server"][job_id] += target != "nobody"
        return target

    def _await(self, moment: str) -> None:
        """Until the moment has come, or will not."""
        if moment == "starting":
            assert self._studio.pid
            time.sleep(self._dice.uniform(0, 1.5))
            return
        if moment == "any":
            time.sleep(self._dice.uniform(0, 3.0))
            return
        before, end = self._files(moment), time.monotonic() + _LONGEST
        while not self._files(moment) - before and time.monotonic() < end:
            time.sleep(0.002)
        if moment == "writing":
            time.sleep(self._dice.uniform(0, 0.3))

    def _files(self, moment: str) -> set[Path]:
        pattern = "*/.*.part" if moment == "writing" else "*/[!.]*"
        return set(self._studio.settings.outputs_dir.glob(pattern))

    def _unfinished(self) -> list[Unfinished]:
        return [one for jobs in self._ledger.unfinished().values() for one in jobs]


def mixed(face: Path) -> Callable[[random.Random], GenerationRequest]:
    """Requests of all kinds for the fake model: silent, humming, from a picture, of a person, sound alone, and
    now and then one that ends its worker each time."""

    def make(dice: random.Random) -> GenerationRequest:
        pace = f"pace {dice.uniform(0, 0.35):.2f}"
        common: dict[str, Any] = {"num_inference_steps": 4, "seconds": 0.6, "seed": dice.randrange(1000)}
        person = (Character(name="character1", faces=(face,)),)
        kinds: list[tuple[int, dict[str, Any]]] = [
            (4, {"mode": "text", "prompt": f"a cat, {pace}"}),
            (4, {"mode": "text", "prompt": f"a cat humming, {pace}"}),
            (2, {"mode": "image", "prompt": f"it moves, {pace}", "image": face}),
            (3, {"mode": "reference", "prompt": f"character1 waves, humming, {pace}", "characters": person,
                 "consent": True}),
            (1, {"mode": "text", "prompt": f"hello, {pace}", "say": "hello", "sound_only": True}),
            (1, {"mode": "text", "prompt": "poisonous"}),
        ]
        chosen = dice.choices([values for _, values in kinds], [weight for weight, _ in kinds])[0]
        return GenerationRequest(**{**common, **chosen})

    return make


def _opened(studio: Studio) -> Ledger:
    """The ledger as the server made it."""
    end = time.monotonic() + 60
    while not studio.settings.ledger_file.exists():
        if time.monotonic() > end:
            raise TimeoutError("the server does not start")
        time.sleep(0.05)
    return Ledger(studio.settings.ledger_file)
