"""The flags of whoever opens the studio."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.errors import InvalidRequest, StorageError
from wan_app.settings import Settings


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


def address_of(token: str, base: str) -> str:
    """What a guest is sent."""
    return f"{base.rstrip('/')}/guest/{token}"


def _read(path: Path) -> str:
    try:
        found = path.read_text(encoding="utf-8").strip("\r\n")
    except OSError as error:
        raise StorageError("password", f"{path} ({error.strerror})", "a file that can be read") from error
    except UnicodeError as error:
        raise InvalidRequest("password", f"{path}, which is no text", "a file with the password alone") from error
    return found
