"""The command line: generate, models, download, fit, licence, consent, verify, jobs, doctor, serve.

Exit codes: 0 done, 2 invalid request, 3 model unavailable, 4 out of memory, 130 cancelled, 1 other.
Results go to stdout, everything else to stderr; an error is one line and never a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, get_args

from wan_app.arguments import Parser, add_fit, add_generate, joined, request_of, whole
from wan_app.consent.ledger import Consent, ConsentLedger
from wan_app.doctor.command import doctor
from wan_app.errors import WanAppError
from wan_app.guests_cli import add_guests, guests
from wan_app.jobs_cli import add_jobs, jobs
from wan_app.library_cli import add_cast, add_gallery, cast, gallery
from wan_app.media.storage import shown
from wan_app.runtime.job import JobView
from wan_app.settings import Settings
from wan_app.sharing.flags import add_sharing, with_sharing
from wan_app.types import (
    Character,
    Downloading,
    Exporting,
    GenerationRequest,
    JobEvent,
    Loading,
    Preset,
    Queued,
    Similarity,
    Step,
)
from wan_app.verify_cli import add_verify, verify


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A file name in another encoding must not turn a result into a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    settings = Settings.from_environment()
    try:
        args = _parser().parse_args(joined(sys.argv[1:] if argv is None else argv))
        code = args.run(args, settings)
        sys.stdout.flush()
        return code
    except WanAppError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: nobody is left to tell, and Python must not
        # try once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        print(f"Unexpected {type(error).__name__}: {_one_line(error)}{_log(settings)}", file=sys.stderr)
        return 1


def generate(args: argparse.Namespace, settings: Settings) -> int:
    """Make one video and wait for it."""
    from wan_app.services import Services

    _interrupt_on_termination()
    with closing(Services(settings)) as services:
        request = request_of(args, services.request_of(args.source) if args.source else None)
        replaces = args.out is not None and args.out.is_file()
        job_id = services.submit(request, out=args.out)
        if replaces:
            print(f"{shown(args.out)} is there already: the new one takes its place when it is whole", file=sys.stderr)
        try:
            _follow(services.watch(job_id))
        except KeyboardInterrupt:
            services.cancel(job_id)
            _follow(services.watch(job_id))
        job = services.job(job_id)
    return _told(job, as_json=args.json)


def models(args: argparse.Namespace, settings: Settings) -> int:
    """List the models: what each is, takes and gives."""
    from wan_app.families.listing import in_words
    from wan_app.services import Services

    with closing(Services(settings)) as services:
        rows = services.models()
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(in_words(row))
    return 0


def download(args: argparse.Namespace, settings: Settings) -> int:
    """Fetch a model's weights from the hub, going on where an earlier download stopped."""
    from wan_app.services import Services

    _interrupt_on_termination()
    with closing(Services(settings)) as services:
        view = services.download(args.model, args.preset)
        try:
            _follow(services.watch_download(view.model))
        except KeyboardInterrupt:
            services.cancel_download(view.model)
            _follow(services.watch_download(view.model))
        view = services.download_of(view.model) or view
    done = view.result
    if done is None:
        print(view.error or "Cancelled; the same command goes on with it", file=sys.stderr)
    elif args.json:
        print(json.dumps(done.to_json(), indent=2))
    else:
        print(done.folder)
        said = f"{done.fetched / 1e9:.1f} GB in {done.seconds:.0f} s" if done.fetched else "was here already"
        print(f"{done.model}: {said}", file=sys.stderr)
    return view.exit_code


def licence(args: argparse.Namespace, settings: Settings) -> int:
    """List the licences that some models need accepted; accept one in its own words, or withdraw that."""
    from wan_app.families.weights import licences

    if args.what == "accept":
        licences.accept(args.id, args.words, settings)
    elif args.what == "withdraw":
        licences.withdraw(args.id, settings)
    rows = licences.listed(settings)
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        state = f"accepted {row['accepted_at']}" if row["accepted_at"] else "not accepted"
        print(f'{row["id"]}: {state}. {row["title"]}: {row["limits"]}. {row["url"]}\n    "{row["words"]}"')
    return 0


def consent(args: argparse.Namespace, settings: Settings) -> int:
    """List the statements of consent of this data folder; withdraw one, or state it anew."""
    ledger = ConsentLedger(settings.consent_file, days=settings.consent_days)
    ledger.verify()
    if args.what == "revoke":
        rows = ledger.withdraw(args.id)
    elif args.what == "renew":
        rows = ledger.renew(args.id, args.words)
    else:
        rows = ledger.consents()
    if args.json:
        print(json.dumps([row.to_json() for row in rows], indent=2))
    else:
        for row in rows:
            print(_consent_in_words(row))
    return 0


def fit(args: argparse.Namespace, settings: Settings) -> int:
    """Tell whether and how a request fits this machine, or another one, before it is made."""
    from wan_app.services import Services

    if args.table:
        from wan_app.families.fit.tables import fit_tables

        print(fit_tables(ram_gib=args.ram))
        return 0
    width, height = args.size or (None, None)
    people = (Character(name="character1", faces=(Path("face.png"),) * args.faces),) if args.faces else ()
    request = GenerationRequest(
        mode="text", prompt="", model=args.model, weights=args.weights, width=width, height=height,
        seconds=args.seconds, num_inference_steps=args.num_inference_steps, characters=people,
        preset=args.preset or "quality",
    )
    with closing(Services(settings)) as services:
        found = services.fit(request, vram=args.vram, ram=args.ram)
    print(json.dumps(found, indent=2) if args.json else _fit_in_words(found))
    return 0


def serve(args: argparse.Namespace, settings: Settings) -> int:
    """Open the studio; blocks until it is stopped."""
    from wan_app.ui.launch import serve as open_studio

    given = {"host": args.host, "port": args.port}
    given = {name: value for name, value in given.items() if value is not None}
    open_studio(with_sharing(replace(settings, **given), args), as_json=args.json)
    return 0


# --- Reading the command line ----------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m wan_app", description=__doc__, allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(
        dest="command", required=True,
        metavar="generate|models|download|fit|licence|consent|verify|jobs|gallery|cast|guests|doctor|serve",
    )

    def command(run: Any) -> argparse.ArgumentParser:
        one = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__, allow_abbrev=False)
        one.add_argument("--json", action="store_true", help="print one JSON value")
        one.set_defaults(run=run)
        return one

    add_generate(command(generate))
    command(models)
    fetching = command(download)
    fetching.add_argument("model", metavar="MODEL", help="see `models`; or pocket-tts, which speaks")
    fetching.add_argument("--preset", choices=get_args(Preset), default="quality", help="fast: with what that needs")
    add_fit(command(fit))
    accepting = command(licence)
    accepting.add_argument("what", nargs="?", choices=("list", "accept", "withdraw"), default="list")
    accepting.add_argument("id", nargs="?", default="", help="which licence")
    accepting.add_argument("--words", default="", help="the sentence that accepts it, as the list shows it")
    consenting = command(consent)
    consenting.add_argument("what", nargs="?", choices=("list", "revoke", "renew"), default="list")
    consenting.add_argument("id", nargs="?", default="", help="which statement, as the list shows it")
    consenting.add_argument("--words", default="", help="of renew: the statement in full, if it is true")
    add_verify(command(verify))
    command(doctor)
    add_jobs(command(jobs))
    add_gallery(command(gallery))
    add_cast(command(cast))
    server = command(serve)
    server.add_argument("--host", help="address to listen on (127.0.0.1)")
    server.add_argument("--port", type=whole("port"), help="port to listen on (first free one from 7860)")
    add_sharing(server)
    add_guests(command(guests))
    return parser


# --- Telling how it goes ---------------------------------------------------------------------


def _follow(events: Any) -> None:
    """Wait until the job ends, with a line that rewrites itself when somebody is looking."""
    looking = sys.stderr.isatty()
    for event in events:
        if looking:
            sys.stderr.write(f"\r\x1b[K{_phrase(event)}")
            sys.stderr.flush()
    if looking:
        sys.stderr.write("\r\x1b[K")


def _phrase(event: JobEvent) -> str:
    if isinstance(event, Queued):
        return f"Waiting, {event.position} before this one" if event.position else "Next"
    if isinstance(event, Downloading):
        left = ""
        if event.eta is not None:
            left = f", {event.eta / 60:.0f} min left" if event.eta >= 90 else f", {event.eta:.0f} s left"
        return f"Downloading {event.done / 1e9:.1f} of {event.total / 1e9:.1f} GB{left}"
    if isinstance(event, Step):
        done = round(24 * event.index / event.total)
        left = f"  {event.eta:.0f} s left" if event.eta is not None else ""
        return f"[{'#' * done}{'.' * (24 - done)}] step {event.index} of {event.total}{left}"
    return event.what if isinstance(event, (Loading, Exporting)) else ""


def _told(job: JobView, *, as_json: bool) -> int:
    """Print how the job ended; its exit code."""
    if job.result is None:
        print(job.error or "Cancelled", file=sys.stderr)
    elif as_json:
        print(json.dumps(job.result.to_json(), indent=2))
    else:
        one = job.result
        print(one.file)
        what = f"{one.width}x{one.height}, {one.num_frames} frames" if one.num_frames else "sound"
        print(f"{what}, {one.seconds:.4g} s, seed {one.seed}, made in {one.timings.get('total', 0):.1f} s",
              file=sys.stderr)
        for line in (*map(_alike, one.similarity), *one.notes):
            print(line, file=sys.stderr)
    return job.exit_code


def _fit_in_words(found: dict[str, Any]) -> str:
    """What `Services.fit` found, in a few lines."""
    from wan_app.ui.words import rough_time

    work, cost = found["request"], found["predicted"]
    asked = f"{found['model']}, {work['width']}x{work['height']}, {work['num_frames']} frames"
    lines = [f"{asked} on {found['machine']['name']}", found["reason"]]
    if found["fits"]:
        source = "measured here" if found["measured"] else "an estimate"
        disk = f", {cost['disk'] / 1e9:.1f} GB of disk" if cost["disk"] else ""
        time = rough_time(cost["minutes"]).capitalize()
        lines.append(f"{time} ({source}), {cost['ram'] / 1e9:.1f} GB of memory{disk}")
    if cost["download"]:
        lines.append(f"Not all of its weights are here: {cost['download'] / 1e9:.1f} GB to download")
    return "\n".join(lines + [f"What would fit: {line}" for line in found["instead"]])


def _consent_in_words(row: Consent) -> str:
    """One person in a line: id, how it stands, who, and who stated it."""
    state = f"withdrawn {row.withdrawn[:10]}" if row.withdrawn else f"{row.state} until {row.until[:10]}"
    if row.state == "expired":
        state = f"ran out {row.until[:10]}"
    often = f", {row.times} times" if row.times > 1 else ""
    said = f"{row.given}; stated {row.stated[:10]} by {shown(row.owner)}{often}"
    return f"{row.id:<22} {state:<22} {shown(', '.join(row.names))} ({said})"


def _alike(one: Similarity) -> str:
    """How near a character is to its references, in numbers."""
    said = [f"{name} {value:.0%} alike" for name, value in (("face", one.identity), ("voice", one.timbre))
            if value is not None]
    if one.pitch is not None:
        said.append(f"pitch {one.pitch:+.1f} semitones")
    return f"{one.character}: {', '.join(said) or 'nothing to compare'}"


def _interrupt_on_termination() -> None:
    """Let SIGTERM (a service manager, a closing terminal) cancel as Ctrl+C does."""
    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        # Ignored ones stay so: `nohup` lets a job outlive its terminal.
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), interrupt)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _log(settings: Settings) -> str:
    """Write the traceback to a file under data_dir; words that say where."""
    try:
        settings.logs_dir.mkdir(parents=True, exist_ok=True)
        path = settings.logs_dir / "cli.log"
        with path.open("a") as file:
            traceback.print_exc(file=file)
    except OSError:
        return ""
    return f"; details are in {path}"
