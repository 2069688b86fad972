"""`gallery` and `cast` on the command line: what is kept, taken along, brought in, deleted."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.errors import InvalidRequest
from wan_app.media.storage import check_writable, part_beside, shown, storage_error
from wan_app.settings import Settings
from wan_app.sharing.who import LOCAL

if TYPE_CHECKING:
    from wan_app.library.cast import Member
    from wan_app.library.gallery import Kept
    from wan_app.library.library import Library

_MOST = 1_000_000


def add_gallery(parser: argparse.ArgumentParser) -> None:
    """The arguments of `gallery`."""
    add = parser.add_argument
    add("what", nargs="?", choices=("list", "export", "import", "delete", "pin", "unpin"), default="list")
    add("which", nargs="*", metavar="ID|FILE", help="which videos, as the list shows them; of import, the zip")
    add("--search", default="", metavar="WORDS", help="of list and export: only what holds all of them in its prompt")
    add("--show", default="all", metavar="all|videos|voices|pinned", help="of list and export: only these")
    add("--out", type=Path, metavar="FILE", help="of export: the zip")
    add("--with-inputs", action="store_true", help="of export: also the pictures and recordings of people")


def add_cast(parser: argparse.ArgumentParser) -> None:
    """The arguments of `cast`."""
    add = parser.add_argument
    add("what", nargs="?", choices=("list", "add", "remove"), default="list")
    add("name", nargs="?", default="", metavar="NAME", help="one word; in a prompt it brings the person in")
    add("--face", type=Path, action="append", default=[], metavar="F", help="a picture of the face; repeat for more")
    add("--voice", type=Path, metavar="F", help="3 to 30 s of how they sound")
    add("--consent", action="store_true", help="state that this is yourself, or somebody who agrees")


def gallery(args: argparse.Namespace, settings: Settings) -> int:
    """List what was made; export it as a zip, import one, delete for real, pin."""
    from wan_app.services import Services

    with closing(Services(settings)) as services:
        library = services.library
        if args.what == "export":
            return _export(args, library)
        if args.what == "import":
            return _import(args, library)
        if args.what == "delete":
            library.delete(args.which, LOCAL)
        for job_id in args.which if args.what in ("pin", "unpin") else ():
            library.gallery.pin(job_id, LOCAL, pinned=args.what == "pin")
        found = _found(args, library)
    if args.json:
        print(json.dumps([one.to_json() for one in found], indent=2))
        return 0
    for one in found:
        pin = "pinned" if one.pinned else "" if one.there else "gone"
        print(f"{one.job.id}  {one.job.created[:10]}  {pin:<6}  {one.job.model:<18} {shown(_words(one), 80)}")
    return 0


def cast(args: argparse.Namespace, settings: Settings) -> int:
    """List the people whose names work in any prompt; add one, with consent; remove one."""
    from wan_app.services import Services

    with closing(Services(settings)) as services:
        library = services.library
        if args.what == "add":
            library.add(args.name, faces=args.face, voice=args.voice, consent=args.consent, owner=LOCAL)
        elif args.what == "remove":
            library.dismiss(args.name, LOCAL)
        members = library.cast(LOCAL)
    if args.json:
        print(json.dumps([one.to_json() for one in members], indent=2))
        return 0
    for one in members:
        print(_told(one))
    return 0


def _found(args: argparse.Namespace, library: Library) -> list[Kept]:
    """Newest last, as all lists of the command line."""
    shelf = library.gallery.page(LOCAL, words=args.search, show=args.show, count=_MOST)
    return list(reversed(shelf.items))


def _export(args: argparse.Namespace, library: Library) -> int:
    if args.out is None:
        raise InvalidRequest("out", "nothing", "--out FILE, the zip to write")
    check_writable(args.out)
    jobs = args.which or [one.job.id for one in _found(args, library)]
    pieces = library.export(jobs, LOCAL, with_inputs=args.with_inputs)
    try:
        with part_beside(args.out, None) as part:
            with part.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            os.replace(part, args.out)
    except OSError as error:
        raise storage_error("out", args.out, error) from error
    size = args.out.stat().st_size
    print(json.dumps({"file": str(args.out), "jobs": jobs, "bytes": size}, indent=2) if args.json else args.out)
    return 0


def _import(args: argparse.Namespace, library: Library) -> int:
    if len(args.which) != 1:
        raise InvalidRequest("archive", f"{len(args.which)} files", "one zip")
    arrived = library.take_in(Path(args.which[0]), LOCAL)
    if args.json:
        print(json.dumps(arrived.to_json(), indent=2))
    else:
        print("\n".join(arrived.jobs))
        print(f"{len(arrived.jobs)} brought in, {arrived.known} were here already", file=sys.stderr)
        for line in arrived.left_out:
            print(f"left out: {line}", file=sys.stderr)
    return 2 if arrived.left_out and not arrived.jobs else 0


def _words(one: Kept) -> str:
    request: Any = one.job.request
    return " ".join((request.say if request.sound_only else request.prompt).split())


def _told(one: Member) -> str:
    what = [f"{len(one.faces)} picture{'' if len(one.faces) == 1 else 's'}"] if one.faces else []
    what += ["a voice"] if one.voice else []
    until = f"consent {one.state} until {one.until[:10]}" if one.until else "no consent"
    alike = f", {one.likeness.identity:.0%} alike" if one.likeness.identity is not None else ""
    return f"{one.name}: {' and '.join(what)}, {until}{alike}"
