"""`guests` on the command line: the links that let somebody in."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from wan_app.settings import Settings
from wan_app.sharing.flags import address_of
from wan_app.sharing.guests import Guest, Guests
from wan_app.sharing.store import Store


def add_guests(parser: argparse.ArgumentParser) -> None:
    """The flags of `guests`."""
    add = parser.add_argument
    add("what", nargs="?", choices=("list", "create", "revoke"), default="list")
    add("id", nargs="?", default="", help="which link (revoke)")
    add("--label", default="", metavar="NAME", help="whom it is for")
    add("--days", type=float, default=7.0, metavar="N", help="how long it opens the door (7)")
    add("--jobs", type=int, default=20, metavar="N", help="videos, in all (20)")
    add("--seconds", type=float, default=120.0, metavar="S", help="seconds of video, in all (120)")
    add("--places", type=int, default=2, metavar="N", help="places in the queue at a time (2)")
    add("--url", metavar="ADDRESS", help="where the studio is reached; by default where it was opened last")


def guests(args: argparse.Namespace, settings: Settings) -> int:
    """List the guest links, make one, or take one back, which stops what its guest has in the queue."""
    if args.what == "revoke":
        from wan_app.services import Services

        with closing(Services(settings)) as services:
            gone = services.revoke(args.id)
        return _told(args, gone.to_json(), _line(gone))
    with _opened(settings) as (store, links):
        if args.what == "create":
            guest, token = links.create(
                label=args.label, days=args.days, jobs=args.jobs, seconds=args.seconds, places=args.places
            )
            link = address_of(token, args.url or store.fact("address") or "")
            return _told(args, {**guest.to_json(), "link": link}, f"{link}\n{_line(guest)}\nIt is shown only now.")
        rows = links.all()
        return _told(args, [one.to_json() for one in rows], "\n".join(map(_line, rows)) or "No guest links")


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Store, Guests]]:
    store = Store(settings.sharing_file)
    try:
        yield store, Guests(store)
    finally:
        store.close()


def _told(args: argparse.Namespace, data: Any, words: str) -> int:
    print(json.dumps(data, indent=2) if args.json else words)
    return 0


def _line(one: Guest) -> str:
    row = one.to_json()
    return (
        f"{one.id}  {one.state:<8} until {row['expires'][:10]}  {one.used_jobs} of {one.jobs} videos, "
        f"{one.used_seconds:.4g} of {one.seconds:.4g} s, {one.places} at a time  {one.label}".rstrip()
    )
