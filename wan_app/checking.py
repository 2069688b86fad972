"""Verify as the page, the API and the command line ask for it: a file or a folder, with the record of consent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from wan_app.consent.ledger import KEEPER, ConsentLedger, people_of, public
from wan_app.errors import InvalidRequest, WanAppError
from wan_app.media.footage import looks_like_media
from wan_app.media.marks.findings import Findings
from wan_app.media.marks.verify import Verification, concluded
from wan_app.media.storage import shown
from wan_app.runtime.checks import Checks, CheckView, reading
from wan_app.settings import Settings

READER = "wan_app.media.marks.reading"
# Files of one folder; more are better checked in several goes.
_MOST_FILES = 10_000


class Checking:
    """Checks of files against the keys and records of this install. All methods are thread-safe."""

    def __init__(self, settings: Settings, consent: ConsentLedger) -> None:
        self._settings, self._consent = settings, consent
        self._checks = Checks(READER)

    def verify(self, path: Path, *, owner: str = KEEPER) -> Verification:
        """Check a file and wait for it, two minutes at most.

        Raises:
            InvalidRequest: naming `file`: there is no such file, or nothing to see or hear in it.
        """
        began = time.monotonic()
        parts = reading(READER, self._request(path))
        return self._concluded(path.name, owner, parts, time.monotonic() - began)

    def folder(self, folder: Path, *, owner: str = KEEPER) -> Iterator[tuple[str, Verification | WanAppError]]:
        """Check all videos, sounds and pictures in a folder and those below it: name, and the answer or the error.

        Hidden files and whatever else lies there are passed over.

        Raises:
            InvalidRequest: naming `file`: the folder cannot be read, or holds nothing of the kind.
        """
        for file in media_in(folder):
            try:
                yield shown(str(file.relative_to(folder))), self.verify(file, owner=owner)
            except WanAppError as error:
                yield shown(str(file.relative_to(folder))), error

    def start(self, path: Path, *, name: str = "", owner: str) -> CheckView:
        """Begin to check a file; `name` is what people call it. Raises InvalidRequest."""
        called = name or path.name
        return self._checks.start(
            owner, self._request(path), lambda parts, seconds: self._concluded(called, owner, parts, seconds)
        )

    def view(self, check_id: Any, *, owner: str) -> CheckView:
        """A check as it stands. Raises JobNotFound."""
        return self._checks.view(check_id, owner)

    def before(self, check_id: str) -> int:
        """How many checks come before it."""
        return self._checks.before(check_id)

    def cancel(self, check_id: Any, *, owner: str) -> None:
        """Stop a check. Raises JobNotFound."""
        self._checks.cancel(check_id, owner)

    def close(self) -> None:
        """Stop them all."""
        self._checks.close()

    def _request(self, path: Path) -> Mapping[str, Any]:
        one = self._settings
        return {
            "path": str(path.absolute()), "data_dir": str(one.data_dir.absolute()),
            "sign_cert": _text(one.sign_cert), "sign_key": _text(one.sign_key),
        }

    def _concluded(self, name: str, owner: str, parts: Mapping[str, Any], seconds: float) -> Verification:
        one = concluded(name, Findings.from_json(parts), seconds)
        if owner != KEEPER:
            # What a file was called when it was written is its maker's business.
            kept = tuple(replace(known, file=None) for known in one.found.kept)
            one = replace(one, found=replace(one.found, kept=kept))
        return replace(one, consent=self._statement(one.consent_id, owner))

    def _statement(self, consent_id: str | None, owner: str) -> Mapping[str, Any] | None:
        """The statement of consent of this id, for the keeper of the machine and for who made it."""
        try:
            found = self._consent.find(consent_id) if consent_id else None
            if found is None or owner != KEEPER and found["owner"] != public(owner):
                return None
            people = people_of(found)
            keys = {one.key for one in people}
            rows = [row for row in self._consent.consents() if row.owner == found["owner"]]
        except WanAppError as error:  # a record that was tampered with is told, and nothing of it believed
            return {"id": consent_id, "state": "unknown", "remark": str(error)}
        states = [row.state for row in rows if (frozenset(row.faces), row.voice) in keys]
        state = next((one for one in ("withdrawn", "expired") if one in states), "valid")
        return {
            "id": consent_id, "state": state, "stated": found["time"], "until": found["until"],
            "owner": found["owner"], "statement": found["statement"], "people": [asdict(one) for one in people],
        }


def media_in(folder: Path) -> list[Path]:
    """The videos, sounds and pictures in a folder and below, by their first bytes and in order of name.

    Raises:
        InvalidRequest: as `Checking.folder`.
    """
    try:
        found = [
            one for one in sorted(folder.rglob("*"))
            if not any(part.startswith(".") for part in one.relative_to(folder).parts)
            and not one.is_symlink() and one.is_file() and looks_like_media(one)
        ]
    except OSError as error:
        got = f"{shown(folder)} ({error.strerror or type(error).__name__})"
        raise InvalidRequest("file", got, "a folder that can be read") from error
    if not found or len(found) > _MOST_FILES:
        got = f"{shown(folder)} with {len(found) or 'no'} videos, sounds or pictures"
        raise InvalidRequest("file", got, f"1 to {_MOST_FILES} of them")
    return found


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path else None
