"""The machine and its disk: processor, memory, card, driver, the data folder and what is kept in it."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from wan_app.consent.ledger import ConsentLedger
from wan_app.devices import Machine, cores
from wan_app.doctor.found import Found, State
from wan_app.errors import StorageError
from wan_app.media.marks.credentials import ready_keys
from wan_app.media.storage import check_writable, shown
from wan_app.settings import Settings

# Bytes. The bundled model's worker takes 0.9 GB beside the studio's 0.2; a video a few megabytes.
_LEAST_RAM, _LEAST_DISK = 1_300_000_000, 2_000_000_000


def memory(machine: Machine) -> Found:
    """The processor, and free memory."""
    said = f"{machine.ram_free / 1e9:.1f} of {machine.ram / 1e9:.1f} GB free, {cores()} cores"
    if machine.ram_free >= _LEAST_RAM:
        return Found(name="memory", said=said)
    return Found(
        name="memory", said=said, state="warn",
        advice=f"The smallest model wants {_LEAST_RAM / 1e9:.1f} GB: close other programs",
    )


def card(machine: Machine) -> Found:
    """The graphics card and its driver. None is no fault: the bundled model needs none."""
    if not machine.vram:
        return Found(name="card", said="none that can be used; the bundled model runs without")
    said = f"{machine.name}, {machine.vram_free / 2**30:.1f} of {machine.vram / 2**30:.1f} GiB free"
    if version := _driver():
        said += f", driver {version}"
    if machine.vram_free < machine.vram / 2:
        advice = "Another program holds half of it: nvidia-smi says who"
        return Found(name="card", said=said, state="warn", advice=advice)
    return Found(name="card", said=said)


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().partition("\n")[0]


def folder(settings: Settings) -> Found:
    """Whether results can be kept where they go."""
    place = settings.data_dir.absolute()
    above = next(one for one in (place, *place.parents) if one.is_dir())
    check_writable((place if place.is_dir() else above) / "doctor", "data_dir")
    free = shutil.disk_usage(above).free
    said = f"{shown(place)}, {free / 1e9:.1f} GB free" + ("" if place.is_dir() else "; made by the first start")
    if free < _LEAST_DISK:
        return Found(name="folder", said=said, state="warn", advice="Little space: videos and models go there")
    return Found(name="folder", said=said)


def keys(settings: Settings) -> Found:
    """What marks and signs videos; nothing is made here that is not there yet."""
    if not (settings.keys_dir / "install").is_dir() and not settings.sign_cert:
        return Found(name="keys", said="none yet; made with the first video")
    found = ready_keys(settings)
    who = f"your certificate {shown(settings.sign_cert)}" if settings.sign_cert else "this install's own certificate"
    open_to = _open_to_others(settings.keys_dir)
    if open_to:
        return Found(
            name="keys", said=f"{open_to} can be read by others of this machine", state="warn",
            advice=f"chmod -R go= {shown(settings.keys_dir)}",
        )
    return Found(name="keys", said=f"videos are marked, and signed with {who}; {len(found.signers)} known")


def _open_to_others(place: Path) -> str:
    """The first secret that others may read, "" if none."""
    if os.name != "posix":
        return ""
    secrets = [one for one in place.rglob("*") if one.suffix in (".key", ".sqlite3")]
    # In a folder that is closed to them, a file's own rights don't matter.
    if not place.stat().st_mode & 0o077:
        return ""
    return next((one.name for one in secrets if one.stat().st_mode & 0o077), "")


def ledger(settings: Settings) -> Found:
    """Whether the jobs of the data folder can be read."""
    if not settings.ledger_file.is_file():
        return Found(name="ledger", said="no jobs yet")
    with closing(sqlite3.connect(f"{settings.ledger_file.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        try:
            sound = opened.execute("PRAGMA quick_check(1)").fetchone()[0]
            jobs = opened.execute("SELECT COUNT(*) FROM jobs").fetchone()[0]
        except sqlite3.DatabaseError as error:
            sound = str(error)
    if sound != "ok":
        got = f"{shown(settings.ledger_file)} (damaged: {sound[:80]})"
        raise StorageError("ledger", got, "a copy of it that is whole")
    return Found(name="ledger", said=f"{jobs} job{'s' * (jobs != 1)}, in order")


def consent(settings: Settings) -> Found:
    """Whether the record of consent is as it was written."""
    if not settings.consent_file.is_file():
        return Found(name="consent", said="nothing stated yet")
    record = ConsentLedger(settings.consent_file, days=settings.consent_days)
    record.verify()
    return Found(name="consent", said=f"statements for {len(record.consents())} people, in order")


def network(settings: Settings) -> Found:
    """Who reaches the studio, and whether its port is free."""
    state: State = "ok"
    where = "this computer only" if settings.local else f"others too ({settings.host}), behind a password"
    if settings.port is None:
        return Found(name="network", said=f"{where}; the first free port from 7860")
    said, advice = f"{where}; port {settings.port}", ""
    with closing(socket.socket()) as one:
        if one.connect_ex(("127.0.0.1", settings.port)) == 0:
            state, said, advice = "warn", f"{said} is taken", "A studio may be open already; or choose another (--port)"
    return Found(name="network", said=said, state=state, advice=advice)
