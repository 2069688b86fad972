"""`python -m tests.soak --minutes 30`: a studio under work without a pause; whether its memory stays flat.

Exit code 0 if neither the server nor the worker grew by more than 3 % after warming up, and nothing went wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import Soak, run

DRIFT = 0.03


def table(soak: Soak) -> str:
    """What was measured, in lines for people."""
    rows = [(name, f"{100 * soak.drift(name):+.1f} % after warming up; {soak.memory[name][0][1] / 2**20:.0f} MiB at"
             f" first, {soak.memory[name][-1][1] / 2**20:.0f} at the end, {soak.peak(name) / 2**20:.0f} at most")
            for name in soak.memory]
    rows += [
        ("time", f"{soak.seconds / 60:.1f} minutes"),
        ("done", ", ".join(f"{count} {what}" for what, count in soak.done.most_common())),
        ("load of the machine", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if os.name == "posix" else "?"),
        ("went wrong", str(len(soak.wrong))),
    ]
    return "\n".join([f"{name:<20} {value}" for name, value in rows] + soak.wrong[:10])


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", choices=("fake", "pocket"), default="fake")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wan-app-soak-") as folder:
        soak = run(Path(folder), minutes=args.minutes, model=args.model, say=lambda line: print(line, file=sys.stderr))
    print(table(soak))
    flat = all(soak.drift(name) <= DRIFT for name in soak.memory)
    return 0 if flat and {"server", "worker"} <= set(soak.memory) and not soak.wrong else 1


if __name__ == "__main__":
    sys.exit(main())
