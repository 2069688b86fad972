"""Whose is what in Gradio: uploads, files handed out, page sessions, calls. Kept in memory, for a while.

Gradio itself serves a file of its cache to whoever knows its path, and a session's messages to whoever
knows its name. Here both must have been given to the one who asks.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

# A cached file lives for two hours after its last use (launch._DELETE_CACHE); these outlive it easily.
_MOST = 50_000


class Belongings:
    """Which names belong to which owner; the longest unused go when there are too many. Thread-safe."""

    def __init__(self, most: int = _MOST) -> None:
        self._most, self._lock = most, threading.Lock()
        self._owners: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._first: OrderedDict[str, str] = OrderedDict()

    def give(self, owner: str, name: str) -> None:
        """From now on it is theirs, too: the same picture, uploaded by two, has one path."""
        with self._lock:
            self._owners[owner, name] = None
            self._owners.move_to_end((owner, name))
            if len(self._owners) > self._most:
                self._owners.popitem(last=False)

    def has(self, owner: str, name: str) -> bool:
        """Whether it was given to them."""
        with self._lock:
            known = (owner, name) in self._owners
            if known:
                self._owners.move_to_end((owner, name))
            return known

    def claim(self, owner: str, name: str) -> bool:
        """Whether a name of the caller's own making is theirs, or nobody's until now."""
        with self._lock:
            found = self._first.setdefault(name, owner)
            self._first.move_to_end(name)
            if len(self._first) > self._most:
                self._first.popitem(last=False)
            return found == owner

    def claimed(self, owner: str, name: str) -> bool:
        """Whether it is theirs, without taking it."""
        with self._lock:
            return self._first.get(name) == owner
