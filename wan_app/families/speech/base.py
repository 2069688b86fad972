"""The seam between the app and a speech model."""

from __future__ import annotations

from typing import Protocol

from wan_app.families.parts.recording import Recording
from wan_app.types import Reporter


class Speaker(Protocol):
    """A loaded speech model."""

    def speak(self, text: str, voice: Recording | None, *, seed: int, report: Reporter) -> Recording:
        """`text` spoken in `voice`, or in one of the model's own where that is None.

        The same seed gives the same sound.

        Raises:
            errors.Cancelled: from `report`, within one block; the speaker is clean for the next call.
        """

    def close(self) -> None:
        """Free all memory the model holds."""
