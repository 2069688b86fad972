"""Who comes next: owners take turns, and each keeps their own jobs in the order they like. Data only, no locks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Move = Literal["front", "up", "down", "back"]


class Slot(NamedTuple):
    """A place in the line; the smallest one is next.

    Each job of an owner takes a `turn` of its own, in which every other owner has one too: who sends twenty
    jobs does not hold up who sends one. Within a turn the smaller `place` (nanoseconds of the clock) is first.
    """

    turn: int
    place: int


FIRST = Slot(0, 0)


class Line:
    """The waiting jobs. What an owner moves changes places with that owner's own jobs only."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._owners: dict[str, str] = {}
        self._turn = 0  # of the job that was called last

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._slots

    def slot_for(self, owner: str, place: int) -> Slot:
        """Where a new job of this owner would stand."""
        waiting = [slot.turn for job_id, slot in self._slots.items() if self._owners[job_id] == owner]
        return Slot(max([self._turn, *waiting]) + 1, place)

    def add(self, job_id: str, owner: str, slot: Slot) -> None:
        """Let a job stand in its slot."""
        if not self._slots:
            # After a restart turns go on where they were, or who comes then would pass all who waited before.
            self._turn = max(self._turn, slot.turn - 1)
        self._slots[job_id], self._owners[job_id] = slot, owner

    def remove(self, job_id: str) -> None:
        """Take a waiting job out."""
        del self._slots[job_id], self._owners[job_id]

    def call(self) -> str:
        """Take the next job out, and return it."""
        job_id = self.ids()[0]
        self._turn = self._slots[job_id].turn
        self.remove(job_id)
        return job_id

    def ids(self) -> list[str]:
        """All, the next one first."""
        return sorted(self._slots, key=self._slots.__getitem__)

    def clear(self) -> list[str]:
        """Take all out, and return them in their order."""
        left = self.ids()
        self._slots.clear()
        self._owners.clear()
        return left

    def slots(self) -> dict[str, Slot]:
        """Who stands where, to come back to with `restore`."""
        return dict(self._slots)

    def restore(self, slots: dict[str, Slot]) -> None:
        """Undo a move."""
        self._slots = dict(slots)

    def differs(self, slots: Mapping[str, Slot]) -> bool:
        """Whether any waiting job stands elsewhere than `slots` says."""
        return any(self._slots.get(one, slot) != slot for one, slot in slots.items())

    def take(self, slots: Mapping[str, Slot]) -> None:
        """Let the waiting jobs stand where `slots` says."""
        self._slots.update((one, slot) for one, slot in slots.items() if one in self._slots)

    def can_move(self, job_id: str, to: str) -> bool:
        """Whether the job waits, and `to` is a Move or another waiting job of its owner."""
        owner = self._owners.get(job_id)
        return owner is not None and (to in get_args(Move) or (to != job_id and self._owners.get(to) == owner))

    def move(self, job_id: str, to: str) -> list[tuple[str, Slot]]:
        """Let a waiting job change places among its owner's; the jobs whose slot is another one now.

        Args:
            to: a Move, or the id of the job which it is to be made before.
        """
        owner = self._owners[job_id]
        own = [one for one in self.ids() if self._owners[one] == owner]
        slots = [self._slots[one] for one in own]
        old = own.index(job_id)
        last = len(own) - 1
        own.remove(job_id)
        places = {"front": 0, "up": max(0, old - 1), "down": min(last, old + 1), "back": last}
        own.insert(places[to] if to in places else own.index(to), job_id)
        changed = [(one, slot) for one, slot in zip(own, slots) if self._slots[one] != slot]
        self._slots.update(changed)
        return changed
