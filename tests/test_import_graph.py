"""Imports go one way, and nothing that the server imports loads a heavy library."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# The house, top floor first: a module may import from its own room and from lower floors only, so
# that two rooms of one floor (runtime and media) don't know each other. Entries and words, at the
# two ends, may know their neighbours.
FLOORS = (
    ("app", "cli", "arguments", "verify_cli", "library_cli", "guests_cli", "jobs_cli", "doctor", "__main__"),
    ("ui",),
    ("services",),
    ("generate", "storyboard", "library"),
    ("sounds", "fitted", "checking"),
    ("runtime", "media"),
    ("consent", "policy", "sharing"),
    ("families",),
    ("likeness",),
    ("types", "errors", "settings", "devices", "__init__"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "bitsandbytes")


def sources() -> list[Path]:
    return sorted([ROOT / "app.py", *(ROOT / "wan_app").rglob("*.py")])


def room_of(file: Path) -> str:
    """The folder under wan_app, or the module's own name."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "wan_app" else parts[0]


def imports_of(file: Path) -> Iterator[tuple[str, ast.stmt, bool]]:
    """Every imported module by full name, its statement, and whether it runs when the file loads."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or is_type_checking(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        at_load = id(node) not in lazy
        if isinstance(node, ast.Import):
            yield from ((alias.name, node, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: write the full name of the module"
            assert node.module is not None
            yield from ((f"{node.module}.{alias.name}", node, at_load) for alias in node.names)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_every_room_has_a_floor() -> None:
    assert {room_of(file) for file in sources()} <= set(FLOOR_OF)


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down(file: Path) -> None:
    room = room_of(file)
    for name, node, _ in imports_of(file):
        parts = name.split(".")
        if parts[0] not in ("wan_app", "app") or len(parts) < 2:
            continue
        other = parts[1] if parts[0] == "wan_app" else "app"
        if other not in FLOOR_OF or other == room:  # a name of the package itself, or a neighbour
            continue
        where = f"{file.relative_to(ROOT)}:{node.lineno} imports {name}"
        neighbours = FLOOR_OF[room] in (0, len(FLOORS) - 1)
        allowed = FLOOR_OF[other] > FLOOR_OF[room] or (neighbours and FLOOR_OF[other] == FLOOR_OF[room])
        assert allowed, f"{where}: against the direction of the house"


def test_gradio_stays_in_the_ui() -> None:
    users = {room_of(f) for f in sources() for name, _, _ in imports_of(f) if name.split(".")[0] == "gradio"}
    assert users <= {"ui"}


# Not readers of settings: they make the environment of a child process.
GIVES_AN_ENVIRONMENT = {"wan_app/runtime/child.py", "wan_app/likeness/training/parallel.py"}


def test_only_settings_reads_the_environment() -> None:
    readers = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sources()
        if room_of(file) != "settings" and str(file.relative_to(ROOT)) not in GIVES_AN_ENVIRONMENT
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert readers == []


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_heavy_libraries_load_late(file: Path) -> None:
    """Outside `likeness`, which is a model's own code, they are imported inside functions only."""
    if room_of(file) == "likeness":
        return
    for name, node, at_load in imports_of(file):
        if at_load:
            assert name.split(".")[0] not in HEAVY, f"{file.relative_to(ROOT)}:{node.lineno} imports {name}"


@pytest.mark.parametrize("entry", ["app", "wan_app.cli", "wan_app.services", "wan_app.ui.launch"])
def test_a_server_process_stays_light(entry: str) -> None:
    """What really gets loaded, libraries of libraries included."""
    code = (
        f"import json, sys; import {entry}; import wan_app.families.registry as r; r.specs();"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
