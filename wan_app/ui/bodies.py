"""The JSON that Gradio's routes take, read with care: what its own reading would trip over is refused here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wan_app.sharing.bodies import BadBody

_SESSION = re.compile(r"[\w.-]{1,80}")
_DEPTH = 24
_MOST = 10_000  # values in one body


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be called: how many inputs it takes, and their names with `...` for those needed."""

    index: int
    inputs: int
    name: str = ""
    queued: bool = False
    fields: tuple[tuple[str, Any], ...] = ()


class Endpoints:
    """Everything that can be called, by number and by name."""

    def __init__(self, found: list[Endpoint]) -> None:
        self._by_index = {one.index: one for one in found}
        self._by_name = {one.name: one for one in found if one.name}

    def of(self, name: str, index: Any) -> Endpoint:
        """The one meant by a path and a body. Raises BadBody."""
        one = self._by_name.get(name)
        if one is None and isinstance(index, int) and not isinstance(index, bool):
            one = self._by_index.get(index)
        if one is None:
            raise BadBody(404, "There is no such endpoint")
        return one


def parsed(data: bytes) -> dict[str, Any]:
    """A JSON object, with whole characters only and no numbers that JSON does not have. Raises BadBody."""
    try:
        found = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadBody(400, "The body must be JSON") from None
    if not isinstance(found, dict):
        raise BadBody(422, "The body must be a JSON object")
    _check(found)
    return _whole(found)


def checked_body(given: dict[str, Any], endpoints: Endpoints, *, path: str, name: str) -> dict[str, Any]:
    """What Gradio needs of a call's body, and nothing else. Raises BadBody."""
    one = endpoints.of("" if name == "predict" else name, given.get("fn_index"))
    session = given.get("session_hash")
    if session is not None and not (isinstance(session, str) and _SESSION.fullmatch(session)):
        raise BadBody(422, "session_hash must be a short text")
    if "/call/v2/" in path:
        return _named(given, one)
    data = given.get("data")
    if not isinstance(data, list) or len(data) != one.inputs:
        raise BadBody(422, f"data must be a list of {one.inputs}")
    if "/call/" in path:
        return {"data": data, **({"session_hash": session} if session else {})}
    if "/queue/" in path and session is None:
        raise BadBody(422, "session_hash is missing")
    if "/queue/" not in path and one.queued:
        raise BadBody(404, "This endpoint takes a call, not a direct request")
    trigger = given.get("trigger_id")
    return {
        "data": data, "fn_index": one.index, "session_hash": session, "event_data": given.get("event_data"),
        "trigger_id": trigger if isinstance(trigger, int) and not isinstance(trigger, bool) else None,
    }


def files_in(value: Any) -> Iterator[str]:
    """Paths of everything that Gradio would take for a file."""
    if isinstance(value, dict):
        if isinstance(value.get("meta"), dict) and value["meta"].get("_type") == "gradio.FileData":
            path = value.get("path")
            yield path if isinstance(path, str) else ""
        for one in value.values():
            yield from files_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from files_in(one)


def _named(given: dict[str, Any], one: Endpoint) -> dict[str, Any]:
    """Inputs by name. Raises BadBody for a missing or an unknown one."""
    known = dict(one.fields)
    if unknown := [name for name in given if name not in known]:
        raise BadBody(422, f"There is no input called {unknown[0][:40]!r}")
    if missing := [name for name, default in known.items() if default is ... and name not in given]:
        raise BadBody(422, f"The input {missing[0]} is missing")
    return given


def _check(found: Any) -> None:
    """Refuse what is nested or filled beyond sense."""
    left, level, depth = _MOST, [found], 0
    while level:
        depth, left = depth + 1, left - len(level)
        if depth > _DEPTH or left < 0:
            raise BadBody(413, "The body is too deep or too full")
        level = [
            inner for one in level if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]


def _whole(value: Any) -> Any:
    """The same without half characters, and without the addresses that Gradio would fetch a file from."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        found = {_whole(name): _whole(one) for name, one in value.items()}
        if isinstance(found.get("meta"), dict) and "path" in found:
            found.pop("url", None)
        return found
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
