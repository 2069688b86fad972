"""Makefile, README front matter, Dockerfile: what a fresh machine, a Space and a container read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and requirements, and nothing installed."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Run by `make test`, this is a make inside a make: its flags must not come along.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, timeout=60, env=env)


@pytest.mark.parametrize("target", ["run", "test", "lint", "bench", "bench-gpu", "train"])
def test_every_target_sets_itself_up(checkout: Path, target: str) -> None:
    planned = make(checkout, "-n", target)
    assert planned.returncode == 0, planned.stderr
    assert "-m venv .venv" in planned.stdout and "--requirement requirements.txt" in planned.stdout


def installed(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (checkout / ".venv" / ".installed").touch()


def test_the_second_run_starts_at_once(checkout: Path) -> None:
    installed(checkout)
    assert make(checkout, "-n", "run").stdout.strip() == ".venv/bin/python app.py"


def test_new_requirements_are_installed(checkout: Path) -> None:
    installed(checkout)
    later = (checkout / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(checkout / "requirements.txt", (later, later))
    planned = make(checkout, "-n", "run").stdout
    assert "--requirement requirements.txt" in planned and "-m venv" not in planned


def test_the_device_reaches_the_training(checkout: Path) -> None:
    installed(checkout)
    assert make(checkout, "-n", "train", "DEVICE=cuda").stdout.strip().endswith("train --device cuda")
    assert make(checkout, "-n", "train").stdout.strip().endswith("wan_app.likeness.train")


def test_without_a_fitting_python_one_line_says_so(checkout: Path) -> None:
    failed = make(checkout, "run", "PYTHONS=no-such-python")
    assert failed.returncode != 0 and not (checkout / ".venv").exists()
    assert "python: none of no-such-python is 3.10 to 3.13" in failed.stderr


def front_matter() -> dict[str, object]:
    _, head, _ = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head)


def test_the_space_starts_what_is_here() -> None:
    head = front_matter()
    assert head["sdk"] == "gradio" and (ROOT / str(head["app_file"])).is_file()
    assert "gradio>=6.31,<7" in (ROOT / "requirements.txt").read_text()
    assert str(head["sdk_version"]).startswith("6.")
    # Longer ones are refused when the Space is made.
    assert len(str(head["short_description"])) <= 60


def test_the_container_serves_the_space_port_as_user_1000() -> None:
    lines = (ROOT / "Dockerfile").read_text()
    for words in ("--uid 1000", "USER user", "GRADIO_SERVER_NAME=0.0.0.0", "GRADIO_SERVER_PORT=7860", "EXPOSE 7860"):
        assert words in lines


def test_the_tree_in_the_readme_is_the_tree() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1].split("```")[1]
    folders: dict[int, str] = {}  # the last one at each indent
    for line in filter(None, tree.splitlines()):
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        if indent > 4:
            continue
        path = folders.get(indent - 2, "") + name
        folders[indent] = path
        assert (ROOT / path).exists(), path
