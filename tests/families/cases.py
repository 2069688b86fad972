"""One small runnable checkpoint for every registered family, for the contract test.

A new family adds a builder here; `test_every_family_has_a_case` fails until it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wan_app import settings
from wan_app.families import registry
from wan_app.families.spec import ModelSpec

from . import tiny_vace


@dataclass(frozen=True)
class Case:
    """How a family is run small.

    `first_frame_db` is the least PSNR of the first frame against the given picture.
    """

    spec: Callable[[], ModelSpec]
    build: Callable[[Path], Path]
    first_frame_db: float


def _bundled_pocket(folder: Path) -> Path:
    return settings.ASSETS / "pocket"


CASES = {
    "pocket": Case(lambda: registry.get("pocket"), _bundled_pocket, 18.0),
    "vace": Case(tiny_vace.tiny_spec, tiny_vace.build, 60.0),
}
