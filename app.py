"""The studio: flags -> settings -> services -> page. `python app.py`; also the entry of a Space."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from wan_app.errors import WanAppError
from wan_app.settings import Settings
from wan_app.sharing.flags import add_sharing, with_sharing
from wan_app.ui.launch import serve


def parse_settings(argv: list[str] | None = None) -> Settings:
    """Settings from the environment, overruled by flags."""
    parser = argparse.ArgumentParser(description="Local Video Studio")
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 opens it to the network, behind a password")
    parser.add_argument("--port", type=int, help="port; by default the first free one from 7860")
    parser.add_argument("--data-dir", type=Path, help="where videos, pictures and the ledger are kept")
    parser.add_argument("--weights-dir", type=Path, help="folder of models in hub layout, <owner>/<name>")
    parser.add_argument("--device", help="torch device, for example cpu or cuda")
    add_sharing(parser)
    args = parser.parse_args(argv)
    given = {name: getattr(args, name) for name in ("host", "port", "data_dir", "weights_dir", "device")}
    settings = replace(Settings.from_environment(), **{name: one for name, one in given.items() if one is not None})
    return with_sharing(settings, args)


def main() -> None:
    """Serve until stopped."""
    try:
        serve(parse_settings())
    except WanAppError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
