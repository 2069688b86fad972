"""The flags of whoever opens the studio, and the guest links of the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.errors import InvalidRequest, StorageError
from wan_app.settings import Settings
from wan_app.sharing.guests import Guest, Guests
from wan_app.sharing.store import Store


def add_sharing(parser: argparse.ArgumentParser) -> None:
    """Flags of `app.py` and of `serve`, beside host and port."""
    add = parser.add_argument
    add("--share", action="store_true", default=None,
        help="a public address for a week, through Gradio's relay; always behind a password")
    add("--password-file", type=Path, metavar="FILE", help="the password in a file (or set WAN_APP_PASSWORD)")
    add("--new-password", action="store_true", default=None, help="make a new password; whoever is signed in is out")
    add("--trusted-proxy", action="append", metavar="ADDRESS", dest="trusted_proxies",
        help="believe what this proxy (address, network, or *) says in X-Forwarded-* headers; repeat for more")
    add("--allow-host", action="append", metavar="NAME", dest="hosts",
        help="a name under which the page may be opened, beside this computer's own; repeat for more")
    add("--root-path", metavar="PATH", help="the sub-path at which a proxy shows the page, for example /studio")


def with_sharing(settings: Settings, args: argparse.Namespace) -> Settings:
    """The settings overruled by the flags of `add_sharing`. Raises InvalidRequest."""
    names = ("share", "new_password", "root_path")
    given: dict[str, Any] = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for name in ("trusted_proxies", "hosts"):
        if listed := getattr(args, name):
            given[name] = tuple(listed)
    if args.password_file:
        given["password"] = _read(args.password_file)
    return replace(settings, sharing=replace(settings.sharing, **given))


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
    """List the guest links, make one, or take one back."""
    with _opened(settings) as (store, links):
        if args.what == "create":
            guest, token = links.create(
                label=args.label, days=args.days, jobs=args.jobs, seconds=args.seconds, places=args.places
            )
            link = address_of(token, args.url or store.fact("address") or "")
            return _told(args, {**guest.to_json(), "link": link}, f"{link}\n{_line(guest)}\nIt is shown only now.")
        if args.what == "revoke":
            guest = links.revoke(args.id)
            return _told(args, guest.to_json(), _line(guest))
        rows = links.all()
        return _told(args, [one.to_json() for one in rows], "\n".join(map(_line, rows)) or "No guest links")


def address_of(token: str, base: str) -> str:
    """What a guest is sent."""
    return f"{base.rstrip('/')}/guest/{token}"


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


def _read(path: Path) -> str:
    try:
        found = path.read_text(encoding="utf-8").strip("\r\n")
    except OSError as error:
        raise StorageError("password", f"{path} ({error.strerror})", "a file that can be read") from error
    except UnicodeError as error:
        raise InvalidRequest("password", f"{path}, which is no text", "a file with the password alone") from error
    return found
