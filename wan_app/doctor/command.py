"""The examination as a command: plain lines, or one JSON object; exit code 1 if something fails."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial

import wan_app
from wan_app import devices
from wan_app.devices import Machine
from wan_app.doctor import machine as here
from wan_app.doctor import models, software
from wan_app.doctor.found import Found, looked_at
from wan_app.settings import Settings


def doctor(args: argparse.Namespace, settings: Settings) -> int:
    """Look whether everything is here that the studio needs, and which models would run."""
    machine = devices.machine(settings.data_dir, settings.device)
    found: list[Found] = []
    for one in _looks(settings, machine):
        found.append(one)
        if not args.json:
            print(one.line(), flush=True)
    rows = models.outlooks(settings, machine)
    last = models.any_runs(rows)
    failed = [one for one in (*found, last) if one.state == "fail"]
    if args.json:
        told = {
            "ok": not failed, "version": wan_app.__version__, "checks": [one.to_json() for one in (*found, last)],
            "models": [row.to_json() for row in rows],
        }
        print(json.dumps(told, indent=2))
    else:
        print("\n".join([last.line(), *(row.line() for row in rows), _verdict(len(failed))]))
    return 1 if failed else 0


def _looks(settings: Settings, machine: Machine) -> Iterator[Found]:
    looks: list[tuple[str, Callable[[], Found]]] = [
        ("python", software.python), ("packages", software.packages), ("ffmpeg", software.ffmpeg),
        ("fonts", partial(software.fonts, settings)), ("folder", partial(here.folder, settings)),
        ("keys", partial(here.keys, settings)), ("ledger", partial(here.ledger, settings)),
        ("consent", partial(here.consent, settings)), ("network", partial(here.network, settings)),
        ("memory", partial(here.memory, machine)), ("card", partial(here.card, machine)),
        ("torch", partial(software.torch, machine)), ("speech", partial(models.speech, settings)),
    ]
    for name, look in looks:
        yield looked_at(name, look)


def _verdict(failed: int) -> str:
    if failed:
        return f"\n{failed} thing{'s' if failed > 1 else ''} to put right before anything can be made."
    return "\nEverything that is needed is here."
