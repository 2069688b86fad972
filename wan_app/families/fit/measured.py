"""What runs on this machine really took, over what was predicted: a small JSON file under data_dir."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from wan_app.families.base import Plan

_FILE = "measured.json"
# A new run weighs this much against all before.
_NEW = 0.5
# What did not fit counts as this much more than there was, and a prediction is never this far off.
_MORE, _MOST = 1.05, 20.0
_LIMITS = {"vram": (0.5, 3.0), "ram": (0.3, 3.0), "seconds": (0.02, 50.0)}


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Measured over predicted; 1 where nothing is known. `runs` tells how many it comes from."""

    vram: float = 1.0
    ram: float = 1.0
    seconds: float = 1.0
    runs: int = 0


@dataclass(frozen=True)
class Measured:
    """Ratios by device, model and plan."""

    rows: dict[str, Ratio] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Measured:
        """From `folder`; empty where there is none, or one that cannot be read."""
        try:
            rows = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            return cls({str(key): Ratio(**{name: _number(row[name]) for name in row}) for key, row in rows.items()})
        except (OSError, ValueError, TypeError, AttributeError):
            return cls()

    def ratio(self, device: str, model: str, plan: Plan) -> Ratio:
        """Of this plan; else how fast this device is with other plans and models."""
        if row := self.rows.get(_key(device, model, plan)):
            return row
        same = [row.seconds for key, row in self.rows.items() if key.startswith(f"{device}|{model}|") and row.runs]
        any_model = [row.seconds for key, row in self.rows.items() if key.startswith(f"{device}|") and row.runs]
        # The bundled model is so small that its speed says nothing about others.
        known = same or [one for one in any_model if 0.2 < one < 5]
        return Ratio(seconds=median(known)) if known else Ratio()

    def knows(self, device: str, model: str, plan: Plan) -> bool:
        """Whether a run under this plan was measured."""
        row = self.rows.get(_key(device, model, plan))
        return row is not None and row.runs > 0

    def learn(self, device: str, model: str, plan: Plan, **ratios: float) -> Measured:
        """With one more run in it; what is 0 or below was not measured."""
        key = _key(device, model, plan)
        old = self.rows.get(key, Ratio())
        new = asdict(old) | {"runs": old.runs + 1}
        for name, value in ratios.items():
            if value > 0:
                low, high = _LIMITS[name]
                mixed = value if not old.runs else _NEW * value + (1 - _NEW) * getattr(old, name)
                new[name] = round(min(max(mixed, low), high), 4)
        return Measured({**self.rows, key: Ratio(**new)})

    def did_not_fit(
        self, device: str, model: str, plan: Plan, what: Literal["vram", "ram"], *, predicted: int, free: int
    ) -> Measured:
        """Remember that more of `what` was needed than was free: this plan is not chosen again for the like.

        Args:
            predicted, free: bytes; the prediction as it was corrected then.
        """
        key = _key(device, model, plan)
        old = self.rows.get(key, Ratio())
        ratio = min(_MOST, getattr(old, what) * max(1.0, _MORE * free / max(1, predicted)))
        return Measured({**self.rows, key: replace(old, **{what: round(ratio, 4)})})

    def write(self, folder: Path) -> None:
        """Keep it; a folder that cannot be written loses only the correction."""
        rows = {key: asdict(row) for key, row in self.rows.items()}
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=".measured", suffix=".json")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(rows, file, indent=1)
            os.replace(name, folder / _FILE)


def _key(device: str, model: str, plan: Plan) -> str:
    return f"{device}|{model}|{plan.quantization}|{plan.offload}|{'tiles' if plan.vae_tiling else 'whole'}"


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError(value)
    return value
