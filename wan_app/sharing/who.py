"""Who somebody is, once the gate has let them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["owner", "guest", "visitor"]
# The person whose machine it is: what they make in the page, from any browser, and on the command line
# is in one place.
LOCAL = "local"
GUEST, VISITOR = "guest:", "visitor:"


@dataclass(frozen=True)
class Who:
    """`owner` is what jobs are filed under; `label` what a guest link is called; `session`: by a cookie."""

    role: Role
    owner: str
    label: str = ""
    session: bool = False

    @property
    def manages(self) -> bool:
        """Whether models, licences and guest links are theirs to decide."""
        return self.role == "owner"

    @property
    def guest(self) -> str:
        """Id of their guest link, or ""."""
        return self.owner.removeprefix(GUEST) if self.role == "guest" else ""


OWNER = Who("owner", LOCAL)
