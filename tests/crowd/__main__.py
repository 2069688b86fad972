"""`python -m tests.crowd --visitors 20`: guests who come at once, each with several jobs; a table.

Exit code 0 if everybody's turn came in order, 95 of 100 status polls took 300 ms at most, and nothing went wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.crowd.crowd import Seen, run
from tests.visitor import percentile

P95 = 0.3
_NAMES = {"page": "the page", "config": "its config", "submit": "a job sent", "tick": "a status poll",
          "queue": "a look at the queue"}


def table(seen: Seen, visitors: int) -> str:
    """What happened, in lines for people."""
    unfair = seen.unfair(visitors)
    rows = [(name, "{:5.0f} ms median, {:5.0f} ms p95, {:5.0f} ms at most, {} times".format(
        *(1000 * percentile(seen.seconds[what], share) for share in (0.5, 0.95, 1.0)), len(seen.seconds[what])
    )) for what, name in _NAMES.items() if seen.seconds.get(what)]
    rows += [
        ("jobs made", str(len(seen.order))), ("order", "fair" if not unfair else f"{len(unfair)} out of turn"),
        ("server, for each poll", f"{1000 * seen.cpu / max(1, seen.looks):.1f} ms of CPU"),
        ("load of the machine", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if os.name == "posix" else "?"),
        ("went wrong", str(len(seen.wrong))),
    ]
    return "\n".join([f"{name:<22} {value}" for name, value in rows] + unfair[:10] + seen.wrong[:10])


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.crowd", description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="of each")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wan-app-crowd-") as folder:
        seen = run(Path(folder), visitors=args.visitors, jobs=args.jobs, say=lambda line: print(line, file=sys.stderr))
    print(table(seen, args.visitors))
    made = len(seen.order) == args.visitors * args.jobs
    return 0 if made and not seen.wrong and not seen.unfair(args.visitors) and seen.p95() <= P95 else 1


if __name__ == "__main__":
    sys.exit(main())
