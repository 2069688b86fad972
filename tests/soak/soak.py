"""A studio that works without a pause: visits, uploads, jobs of every kind, files fetched; its memory watched."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import soundfile
from PIL import Image

from tests.e2e.conftest import Studio
from tests.ui.fake_model import RATE, babble
from tests.visitor import Visitor

# Seconds between two looks at the memory, and the share of the time that is warming up.
_LOOK, _WARM = 1.0, 0.35
# Gigabytes for results: the oldest go, as on a machine that has run for long.
_QUOTA = "0.002"
_SMALL: dict[str, Any] = {"seconds": 0.6, "width": 96, "height": 96, "num_inference_steps": 2}


@dataclass
class Soak:
    """What was measured: (seconds since the start, bytes) of each process, and what was done."""

    memory: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def drift(self, process: str) -> float:
        """By what share the memory grew after warming up: from its first third to its last, by medians."""
        after = [size for at, size in self.memory.get(process, []) if at >= _WARM * self.seconds]
        third = max(1, len(after) // 3)
        return median(after[-third:]) / median(after[:third]) - 1.0 if after else 0.0

    def peak(self, process: str) -> int:
        """Bytes at most."""
        return max((size for _, size in self.memory.get(process, [])), default=0)


def run(folder: Path, *, minutes: float, model: str = "fake", say: Callable[[str], Any] = print) -> Soak:
    """Keep a studio busy for so long. `model`: "fake", or "pocket" for the bundled one at its smallest."""
    command = () if model == "fake" else ("app.py", "--port", "{port}", "--data-dir", "{data}", "--device", "cpu")
    studio = Studio(folder, *command, WAN_APP_QUOTA_GB=_QUOTA)
    studio.start()
    soak = Soak(seconds=60 * minutes)
    try:
        asyncio.run(_busy(studio, soak, say))
    finally:
        studio.stop()
    if "Traceback" in studio.log():
        soak.wrong.append(f"the log holds a traceback: {studio.log()[-500:]}")
    return soak


async def _busy(studio: Studio, soak: Soak, say: Callable[[str], Any]) -> None:
    until = time.monotonic() + soak.seconds
    watching = asyncio.create_task(_watch(studio, soak, until, say))
    visitor = Visitor(studio.url)
    await visitor.open()
    try:
        for number, given in enumerate(_requests()):
            if time.monotonic() > until:
                break
            await _one(visitor, soak, {**given, "prompt": f"walk {number}"})
            if number % 10 == 9:
                await visitor.close()
                soak.wrong += visitor.wrong
                visitor = Visitor(studio.url)  # another browser
                await visitor.open()
                soak.done["visits"] += 1
        await watching
    finally:
        watching.cancel()
        await visitor.close()
    soak.wrong += visitor.wrong


async def _one(visitor: Visitor, soak: Soak, given: dict[str, Any]) -> None:
    """One job from its uploads to its file."""
    for name, (file, kind) in {"image": (_face(), "image/png"), "faces": (_face(), "image/png"),
                               "voice": (_voice(), "audio/wav")}.items():
        if name in given:
            sent = await visitor.upload(f"{name}.{kind[-3:]}", file)
            given[name] = [sent] if name == "faces" else sent
    job_id = await visitor.submit(**given)
    state = ""
    while state not in ("finished", "failed", "cancelled"):
        await visitor.look(job_id)
        await visitor.look(job_id, "queue")
        state = (await visitor.job(job_id))["state"]
        await asyncio.sleep(0.1)
    soak.done[f"{given['mode']}, {state}"] += 1
    if state != "finished":
        soak.wrong.append(f"{job_id} {state}")
        return
    answer = await visitor.client.get(f"files/{job_id}/x.mp4")
    if answer.status_code != 200 or len(answer.content) < 1000:
        soak.wrong.append(f"the file of {job_id}: {answer.status_code}")


async def _watch(studio: Studio, soak: Soak, until: float, say: Callable[[str], Any]) -> None:
    """Note the memory of the server and its worker."""
    began, told = time.monotonic(), 0.0
    while time.monotonic() < until:
        at = time.monotonic() - began
        for name, one in _processes(studio):
            try:
                soak.memory.setdefault(name, []).append((at, one.memory_info().rss))
            except psutil.Error:
                continue
        if at - told >= 60.0:
            told = at
            now = ", ".join(f"{name} {rows[-1][1] / 2**20:.0f} MiB" for name, rows in soak.memory.items())
            say(f"{at / 60:.0f} min: {now}; {sum(soak.done.values())} things done")
        await asyncio.sleep(_LOOK)


def _processes(studio: Studio) -> Iterator[tuple[str, psutil.Process]]:
    server = studio.process()
    yield "server", server
    for child in server.children():
        with suppress(psutil.Error):  # an ffmpeg that ends as it is looked at
            if "worker_process" in " ".join(child.cmdline()):
                yield "worker", child


def _requests() -> Iterator[dict[str, Any]]:
    """Fields of one job after the other: every kind of work that holds memory."""
    person: dict[str, Any] = {"mode": "reference", "faces": None, "voice": None, "consent": True}
    return cycle([
        {"mode": "text", **_SMALL}, {"mode": "image", "image": None, **_SMALL}, {**person, **_SMALL},
        {"mode": "text", **_SMALL, "width": 128, "height": 128, "seconds": 1.0},
    ])


def _face() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (160, 160), (200, 150, 120)).save(buffer, "PNG")
    return buffer.getvalue()


def _voice() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, babble(4.0)[0], RATE, format="WAV")
    return buffer.getvalue()
