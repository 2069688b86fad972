"""What Gradio remembers of each open page and each call: as little as it needs, and for no longer.

By itself it keeps the settings and the last value of every component, faces and previews among them, for 10,000
pages and calls, each a third of a megabyte: a script that asks after its job would fill the memory in an hour.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from gradio.state_holder import SessionState, StateHolder

# Seconds without a sign: a page that is used again later begins with what a fresh one has, and its form is in
# the browser anyway; a call needs it at its beginning and its end.
_PAGE, _CALL = 3600.0, 120.0
_SWEEP = 20.0
# A call without a page goes by the name of its event.
_EVENT = re.compile(r"[0-9a-f]{32}")


class _Page(SessionState):
    """Of one page: which components were made anew, and no values; those serve Gradio's links to a page's state,
    of which there are none here."""

    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Nothing is written down."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Nothing is written down."""


class Pages(StateHolder):
    """Of all pages and calls."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._swept = clock, clock()
        self._used: dict[str, float] = {}

    def __getitem__(self, session_id: str) -> SessionState:
        self._sweep()
        if session_id not in self.session_data:
            self.session_data[session_id] = _Page(self.blocks)
        self._used[session_id] = self._clock()
        return super().__getitem__(session_id)

    def _sweep(self) -> None:
        """Forget what was not used for long."""
        now = self._clock()
        if now - self._swept < _SWEEP:
            return
        self._swept = now
        with self.lock:
            for one, used in list(self._used.items()):
                if now - used > (_CALL if _EVENT.fullmatch(one) else _PAGE) or one not in self.session_data:
                    for known in (self._used, self.session_data, self.time_last_used):
                        known.pop(one, None)
