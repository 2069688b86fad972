"""What an examination comes to: one line each, with advice where something is amiss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from wan_app.errors import WanAppError

# fail: nothing can be made before it is put right. warn: something works less well, or not at all.
State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """One thing that was looked at: `said` is what it is, `advice` what to do about it."""

    name: str
    said: str
    state: State = "ok"
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return asdict(self)

    def line(self) -> str:
        """For people; the advice on a line of its own."""
        mark = {"ok": "ok  ", "warn": "look", "fail": "FAIL"}[self.state]
        more = f"\n{'':<16}-> {self.advice}" if self.advice else ""
        return f"{mark} {self.name:<10} {self.said}{more}"


def looked_at(name: str, look: Callable[[], Found]) -> Found:
    """What `look` finds; a look that fails is itself a finding, in one line."""
    try:
        return look()
    except WanAppError as error:
        said, _, needed = str(error).partition("; needed ")
        return Found(name=name, said=said, state="fail", advice=f"Needed: {needed}" if needed else "")
    except Exception as error:
        said = " ".join(str(error).split())[:160]
        return Found(name=name, said=f"cannot be looked at: {type(error).__name__}: {said}", state="fail")
