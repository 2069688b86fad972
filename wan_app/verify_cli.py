"""`verify FILE` and `verify FOLDER` on the command line: what was found, in lines for a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from wan_app.checking import Checking
from wan_app.consent.ledger import ConsentLedger
from wan_app.errors import WanAppError
from wan_app.media.marks.verify import Verification, mark_in_words, signature_in_words
from wan_app.settings import Settings

_UNREAD = "could not be read"


def add_verify(parser: argparse.ArgumentParser) -> None:
    """The arguments of `verify`."""
    parser.add_argument("file", type=Path, metavar="FILE|FOLDER", help="a video, a sound, a picture, or many of them")
    parser.set_defaults(run=verify)


def verify(args: argparse.Namespace, settings: Settings) -> int:
    """Look for the marks of a file, or of every file in a folder, and say what they show."""
    checking = Checking(settings, ConsentLedger(settings.consent_file, days=settings.consent_days))
    try:
        if args.file.is_dir():
            return _folder(checking.folder(args.file), as_json=args.json)
        one = checking.verify(args.file)
    finally:
        checking.close()
    print(json.dumps(one.to_json(), indent=2) if args.json else "\n".join(_lines(one)))
    return 0


def _folder(found: Iterable[tuple[str, Verification | WanAppError]], *, as_json: bool) -> int:
    """A line, or an object, for each file; 2 if one of them could not be read."""
    rows: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for name, one in found:
        row = {"error": str(one)} if isinstance(one, WanAppError) else one.to_json()
        rows.append({**row, "file": name})
        verdict = row.get("verdict", _UNREAD)
        counts[verdict] += 1
        if not as_json:
            print(f"{verdict:<34} {_id(row):<10}  {name}", flush=True)
    if as_json:
        print(json.dumps(rows, indent=2))
    print("; ".join(f"{count} {verdict}" for verdict, count in counts.most_common()), file=sys.stderr)
    return 2 if counts[_UNREAD] else 0


def _id(row: dict[str, Any]) -> str:
    """The first id that any of the three marks has."""
    names = ("video_watermark", "audio_watermark", "c2pa")
    return next(filter(None, (row.get(name, {}).get("id") for name in names)), "")


def _lines(one: Verification) -> Iterator[str]:
    found, said = one.found, one.opinion
    yield f"{one.file}: {said.verdict}"
    yield said.summary
    yield f"  picture      {mark_in_words(found.picture)}"
    yield f"  sound        {mark_in_words(found.sound)}"
    yield f"  credentials  {signature_in_words(found.credentials)}"
    if one.consent:
        names = ", ".join(person["name"] for person in one.consent.get("people", ()))
        stated = str(one.consent.get("stated", ""))[:10]
        yield f"  consent      {one.consent['state']}, stated {stated} for {names} ({one.consent['id']})"
    for title, sentences in (
        ("Where they disagree", said.disagreements), ("Proven", said.proven), ("Likely", said.likely),
        ("Unknown", said.unknown),
    ):
        if sentences:
            yield title
            yield from (f"  - {sentence}" for sentence in sentences)
