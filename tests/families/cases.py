"""One small runnable checkpoint for every layout of weights, for the contract test.

A new family adds builders here; `test_every_layout_has_a_case` fails until it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wan_app import settings
from wan_app.families import registry
from wan_app.families.spec import ModelSpec

from . import tiny_echo, tiny_h3, tiny_ltx, tiny_vace, tiny_wan


@dataclass(frozen=True)
class Case:
    """How a layout is run small.

    `first_frame_db` is the least PSNR of the first frame against the given picture.
    """

    spec: Callable[[], ModelSpec]
    build: Callable[[Path], Path]
    first_frame_db: float


def _bundled_pocket(folder: Path) -> Path:
    return settings.ASSETS / "pocket"


def _wan(model_id: str, build: Callable[[Path], Path]) -> Case:
    return Case(lambda: tiny_wan.tiny_spec(model_id), build, 60.0)


CASES = {
    "pocket": Case(lambda: registry.get("pocket"), _bundled_pocket, 18.0),
    "vace": Case(tiny_vace.tiny_spec, tiny_vace.build, 60.0),
    "wan2.1-t2v": _wan("wan2.1-t2v-1.3b", tiny_wan.build_text),
    "wan2.1-i2v": _wan("wan2.1-i2v-14b-480p", tiny_wan.build_image),
    "wan2.2-ti2v": _wan("wan2.2-ti2v-5b", tiny_wan.build_text_and_image),
    "wan2.2-t2v": _wan("wan2.2-t2v-a14b", tiny_wan.build_text_experts),
    "wan2.2-i2v": _wan("wan2.2-i2v-a14b", tiny_wan.build_image_experts),
    "ltx-2": Case(lambda: tiny_ltx.tiny_spec("ltx-2"), tiny_ltx.build, 60.0),
    "ltx-2.5": Case(lambda: tiny_ltx.tiny_spec("ltx-2.5"), tiny_ltx.build_25, 60.0),
    "echo": Case(tiny_echo.tiny_spec, tiny_echo.build, 60.0),
    "h3": Case(tiny_h3.tiny_spec, tiny_h3.build, 60.0),
}
