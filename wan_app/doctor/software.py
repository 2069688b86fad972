"""Programs and libraries: Python, packages, ffmpeg, fonts, torch and the card it sees. Loads nothing heavy here."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from wan_app.devices import Machine
from wan_app.doctor.found import Found, State
from wan_app.media.ffmpeg import binary
from wan_app.media.label import Label
from wan_app.settings import ASSETS, Settings

REQUIREMENTS = ASSETS.parent / "requirements.txt"
_INSTALL = "make run installs what is missing; or: pip install -r requirements.txt"
# Nothing can be made without one of these; without another, some models or the page lack something.
_NEEDED = ("torch", "diffusers", "transformers", "gradio", "pillow", "numpy", "soundfile", "c2pa-python", "filelock")
_SHOWN = ("gradio", "torch", "diffusers", "transformers", "c2pa-python")
# Only for tests and lint.
_TESTING = ("pytest", "httpx", "pyyaml", "playwright", "ruff", "mypy", "moviepy")
_ASK_TORCH = """
import json, torch
card = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__, "cuda": torch.version.cuda, "card": torch.cuda.get_device_name() if card else None,
    "bf16": card and torch.cuda.is_bf16_supported(), "mps": torch.backends.mps.is_available(),
    "sum": float(torch.ones(8, device="cuda" if card else "cpu").sum()),
}))
"""


def python() -> Found:
    """The interpreter."""
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 10) <= sys.version_info < (3, 14):
        return Found(name="python", said=said)
    return Found(name="python", said=said, state="fail", advice="Needed: Python 3.10 to 3.13")


def packages() -> Found:
    """Whether requirements.txt is met."""
    missing, other = [], []
    for name, wanted in _requirements(REQUIREMENTS):
        have = version_of(name)
        if have is None:
            missing.append(name)
        elif not _meets(have, wanted):
            other.append(f"{name} {have} (needed {wanted})")
    versions = ", ".join(f"{name} {have}" for name in _SHOWN if (have := version_of(name)))
    if missing:
        state: State = "fail" if set(missing) & set(_NEEDED) else "warn"
        return Found(name="packages", said=f"missing: {', '.join(missing)}", state=state, advice=_INSTALL)
    if other:
        return Found(name="packages", said=f"other versions: {', '.join(other)}", state="warn", advice=_INSTALL)
    return Found(name="packages", said=versions)


def ffmpeg() -> Found:
    """That it starts, and can write what we write."""
    program = binary()
    done = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=60)
    lacking = [one for one in ("libx264", "aac") if not re.search(rf"^ [VA]\S+ {one} ", done.stdout, re.MULTILINE)]
    first = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60).stdout.partition("\n")[0]
    said = first.split(" Copyright")[0].replace("ffmpeg version ", "") or "says nothing"
    if done.returncode or lacking:
        advice = "Reinstall imageio-ffmpeg (pip install --force-reinstall imageio-ffmpeg), or unset IMAGEIO_FFMPEG_EXE"
        return Found(name="ffmpeg", said=f"{said}, without {' and '.join(lacking)}", state="fail", advice=advice)
    return Found(name="ffmpeg", said=said)


def fonts(settings: Settings) -> Found:
    """That the visible label can be drawn, which guests' videos always have."""
    blank = np.zeros((96, 320, 3), np.uint8)
    if not Label("corner", settings.label_text).on(blank, 0, 8.0).any():
        return Found(name="fonts", said="the visible label stays empty", state="fail", advice="Reinstall pillow")
    if not settings.label_text.isascii():
        return Found(
            name="fonts", said=f"WAN_APP_LABEL_TEXT {ascii(settings.label_text)[:60]} cannot be drawn", state="warn",
            advice='Only ASCII can; "AI generated" is drawn in its place',
        )
    return Found(name="fonts", said="the visible label can be drawn")


def torch(machine: Machine, timeout: float = 180.0) -> Found:
    """The engine, asked in a process of its own: it takes seconds and much memory to load, and may crash."""
    try:
        done = subprocess.run([sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return Found(name="torch", said=f"did not answer within {timeout:.0f} s", state="fail", advice=_INSTALL)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:160]
        return Found(name="torch", said=f"does not work: {last}", state="fail", advice=_INSTALL)
    return _engine(json.loads(done.stdout.splitlines()[-1]), machine)


def _engine(told: dict[str, Any], machine: Machine) -> Found:
    said = f"{told['version']} {_sees(told)}"
    if machine.vram and not told["card"]:
        build = "the build for CPUs" if told["cuda"] is None else f"a build for CUDA {told['cuda']}"
        return Found(
            name="torch", said=f"{said}, though {machine.name} is here: it is {build}", state="warn",
            advice="pip install --force-reinstall torch for your CUDA (pytorch.org tells which), or update the driver",
        )
    return Found(name="torch", said=said)


def _sees(told: dict[str, Any]) -> str:
    if told["card"]:
        return f"sees {told['card']} (CUDA {told['cuda']}{', bf16' if told['bf16'] else ''})"
    return "sees an Apple GPU" if told["mps"] else "runs on the processor"


def version_of(name: str) -> str | None:
    """The installed version of a package, None without it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements(file: Path) -> list[tuple[str, str]]:
    """(name, versions) of each line that running needs; the bare list of names where the file is not at hand."""
    if not file.is_file():
        return [(name, "") for name in _NEEDED]
    found = re.findall(r"^([A-Za-z0-9_.-]+)([^#\n]*)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return [(name, wanted.strip()) for name, wanted in found if name not in _TESTING]


def _meets(have: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    # A build's own mark (2.13.0+cpu) is no other version.
    return SpecifierSet(wanted).contains(have.partition("+")[0], prereleases=True)
