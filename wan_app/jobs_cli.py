"""`jobs` on the command line: what was asked for, and what becomes of it."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, get_args

from wan_app.errors import InvalidRequest
from wan_app.runtime.line import Move
from wan_app.settings import Settings

if TYPE_CHECKING:
    from wan_app.services import Services


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """The flags of `jobs`."""
    add = parser.add_argument
    add("what", nargs="?", choices=("list", "cancel", "move", "remove"), default="list")
    add("id", nargs="?", default="", help="which job, as the list shows it")
    add("--before", default="", metavar="ID", help="of move: the waiting job which it is to be made before")
    add("--to", choices=get_args(Move), help="of move: among the waiting jobs of the same owner")


def jobs(args: argparse.Namespace, settings: Settings) -> int:
    """List the jobs of this data folder, newest last; cancel one, move one that waits, remove one with its file."""
    from wan_app.services import Services

    with closing(Services(settings)) as services:
        if args.what != "list":
            _change(services, args)
        rows = [job.to_json() for job in services.jobs()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        what = row.get("file") or row.get("error") or ""
        print(f"{row['id']}  {row['state']:<9} {row['mode']:<9} {row['model']:<18} {what}")
    return 0


def _change(services: Services, args: argparse.Namespace) -> None:
    """Change a job of any owner: the data folder is this user's. Raises JobNotFound, InvalidRequest."""
    owner = next((job.owner for job in services.jobs() if job.id == args.id), "local")
    if args.what == "remove":
        services.remove(args.id, owner=owner)
    elif args.what == "move":
        if bool(args.before) is bool(args.to):
            raise InvalidRequest("jobs move", "both" if args.to else "nothing", "either --before ID or --to WHERE")
        services.move(args.id, args.before or args.to, owner=owner)
    else:
        _cancel(services, args.id, owner)


def _cancel(services: Services, job_id: str, owner: str) -> None:
    # A job of a studio is stopped there, by way of the ledger; what takes longer than this takes its time.
    end = time.monotonic() + 20
    while not services.cancel(job_id, owner=owner).ended and time.monotonic() < end:
        time.sleep(0.2)
