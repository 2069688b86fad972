"""A recipe whose libraries print on stdout, which is where the events travel."""

from __future__ import annotations

import subprocess
import sys

from tests import fakes
from wan_app.generate import VideoRecipe
from wan_app.settings import Settings


def open_recipe(settings: Settings) -> VideoRecipe:
    """As `fakes.open_recipe`, with noise."""
    print("printed by Python", flush=True)
    subprocess.run([sys.executable, "-c", "print('printed by a child process')"], check=True)
    return fakes.open_recipe(settings)
