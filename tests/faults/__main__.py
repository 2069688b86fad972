"""`python -m tests.faults --kills 50`: server and worker killed at random moments over a mixed queue; a table.

Exit code 0 if no job was lost, none made twice, and no half or unmarked file is left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from tests.faults.checks import Audit, audit
from tests.faults.recipe import RECIPE
from tests.faults.storm import Storm, Told, mixed
from tests.faults.studio import Studio
from wan_app.runtime.ledger import Ledger
from wan_app.settings import Settings


def run(folder: Path, *, kills: int, seed: int, quiet: bool = False, stall: float = 20.0) -> tuple[Told, Audit, str]:
    """One storm on a data folder; what was done, what is wrong, and a table of both."""
    settings = Settings(data_dir=folder / "data", device="cpu")
    face = folder / "face.png"
    Image.new("RGB", (64, 64), (200, 150, 120)).save(face)
    began = time.monotonic()
    studio = Studio(settings, RECIPE, stall)
    try:
        storm = Storm(studio, seed=seed, requests=mixed(face))
        told = storm.rage(kills, lambda line: None if quiet else print(line, file=sys.stderr, flush=True))
        storm.calm()
        studio.close()
    finally:
        studio.kill()
    found = audit(settings, told.wanted)
    return told, found, table(settings, told, found, studio.starts, time.monotonic() - began)


def table(settings: Settings, told: Told, found: Audit, starts: int, seconds: float) -> str:
    """What happened, in lines for people."""
    ledger = Ledger(settings.ledger_file)
    jobs = ledger.jobs()
    tries = Counter(ledger.tries(job.id) for job in jobs)
    ledger.close()
    states = Counter(job.state for job in jobs)
    rows = [
        ("kills", f"{sum(told.strikes.values())}: {_counted(told.strikes)}"),
        ("at the moment of", _counted(told.moments)),
        ("servers started", str(starts)),
        ("jobs acknowledged", str(len(told.wanted))),
        ("written, not acknowledged", str(len(jobs) - len(told.wanted))),
        ("their ends", _counted(states)),
        ("tries", ", ".join(f"{count} jobs in {number}" for number, count in sorted(tries.items()))),
        ("moved to the front", str(told.moved)),
        ("strikes held back", f"{told.spared}, for they would have been a job's last by design"),
        ("lost", str(len(found.lost))),
        ("made twice", str(len(found.duplicated))),
        ("half or broken files", str(len(found.broken))),
        ("unmarked files", str(len(found.unmarked))),
        ("left over on the disk", str(len(found.left_over))),
        ("took", f"{seconds:.0f} s"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join([f"{name:<{width}}  {value}" for name, value in rows] + found.wrong)


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None, help="of the dice; the moments are never quite the same")
    parser.add_argument("--keep", type=Path, help="a new folder for the data, which is kept")
    args = parser.parse_args()
    seed = int(time.time()) if args.seed is None else args.seed
    if args.keep:
        args.keep.mkdir(parents=True)
        _, found, shown = run(args.keep, kills=args.kills, seed=seed)
    else:
        with tempfile.TemporaryDirectory(prefix="wan-app-faults-") as folder:
            _, found, shown = run(Path(folder), kills=args.kills, seed=seed)
    print(f"{'seed':<25}  {seed}\n{shown}")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
