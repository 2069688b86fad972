"""Fetching a model's weights because somebody asked for it: never a side effect of anything else.

    which files -> is there room on the disk -> fetch, resuming, with progress -> is the folder whole
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from huggingface_hub.errors import RevisionNotFoundError

from wan_app.errors import InvalidRequest, ModelUnavailable, StorageError
from wan_app.families import registry
from wan_app.families.spec import Fast, ModelSpec
from wan_app.families.speech import registry as speech_registry
from wan_app.families.speech import weights as speech_weights
from wan_app.families.speech.spec import Part, SpeechSpec
from wan_app.families.weights import licences, pins
from wan_app.families.weights import locate as weights
from wan_app.families.weights.hub import Hub, HubFile, Listing, Patience
from wan_app.families.weights.needed import Component, components, files_of
from wan_app.families.weights.places import Place, alone, free_bytes, holds, place_for
from wan_app.settings import Settings
from wan_app.types import Downloaded, Downloading, Loading, Reporter

T = TypeVar("T")

_FAST, _MAIN = "+fast", "main"

# Left free: a disk filled to the last byte breaks other programs, and results need a place too.
_SPARE = 500_000_000
# One connection rarely fills a line; more than a few gain nothing and are rude.
_AT_ONCE = 4
# Seconds between two looks at whether the user wants to stop.
_TICK = 0.1
# Time left is judged by the last 15 seconds or so.
_SAMPLES, _SAMPLE_SECONDS = 60, 0.25


class Wanted(NamedTuple):
    """A file and its path in the folder."""

    file: HubFile
    local: str


class _Wish(NamedTuple):
    """What is not here: the model, None if it is, and the files of its preset fast."""

    spec: ModelSpec | SpeechSpec | None
    model_id: str
    fast: Fast | None


@dataclass(frozen=True)
class Repository:
    """What one place is to hold. `marker` is the file by which the folder is found; it comes last.

    `commits` are those that files come from, by name of pin; a component may lie in another repository.
    """

    place: Place
    commit: str
    files: list[Wanted]
    marker: Wanted
    commits: dict[str, str]


def target_of(model_id: str, preset: str = "quality") -> str:
    """What `download` is to be asked for: the model, or the model with what its preset fast needs."""
    return f"{model_id}{_FAST}" if preset == "fast" else model_id


def command_of(target: str) -> str:
    """The command line that fetches a target."""
    fast = " --preset fast" if target.endswith(_FAST) else ""
    return f"python -m wan_app download {target.removesuffix(_FAST)}{fast}"


def find(model_id: str) -> ModelSpec | SpeechSpec:
    """The row of a video or of a speech model. Raises InvalidRequest, listing the ids there are."""
    speech = speech_registry.specs()
    if isinstance(model_id, str) and model_id in speech:
        return speech[model_id]
    rows = registry.specs()
    if not isinstance(model_id, str) or model_id not in rows:
        raise InvalidRequest("model", repr(model_id)[:60], "one of " + ", ".join([*rows, *speech]))
    return rows[model_id]


def check(target: str, settings: Settings) -> tuple[ModelSpec | SpeechSpec, Fast | None]:
    """The row of a model that may be downloaded, and its preset fast if that is asked for too.

    Raises:
        InvalidRequest: no such model, or there is no fast one.
        ModelUnavailable: its licence is not accepted.
    """
    fast = isinstance(target, str) and target.endswith(_FAST)
    spec = find(target.removesuffix(_FAST) if fast else target)
    few = spec.fast if isinstance(spec, ModelSpec) else None
    if fast and few is None:
        raise InvalidRequest("preset", "fast", f"quality: there is no fast one for {spec.id}")
    if isinstance(spec, ModelSpec):
        licences.check(spec, settings)
    return spec, few if fast else None


def download(target: str, settings: Settings, report: Reporter, patience: Patience | None = None) -> Downloaded:
    """Bring a model's weights to this machine, going on with what an earlier try left; blocks.

    Args:
        target: see `target_of`.

    Nothing is asked of the network for a model that is here and whole.

    Raises:
        InvalidRequest: no such model, or it is being downloaded already.
        ModelUnavailable: its licence is not accepted, or the hub does not give it.
        StorageError: not enough room, or the disk does not take it.
        Cancelled: from `report`, within a second; what came so far stays for another time.
    """
    (spec, fast), started = check(target, settings), time.monotonic()
    here = _whole(spec, settings)
    if here is not None and (fast is None or _has_fast(fast, settings)):
        return _result(spec, here)
    progress = Progress(report)
    hub = Hub(spec.id, lambda said: report(Loading(said)), patience or Patience())
    wanted = _Wish(None if here else spec, spec.id, fast)
    found = _run(_attended(_fetch(wanted, settings, hub, progress), progress))
    _locate(spec, settings)
    return _result(
        spec, found[0].place.folder, commit=found[0].commit, total=progress.total, fetched=progress.fetched,
        seconds=time.monotonic() - started,
    )


class Progress:
    """Bytes that are here, told about four times a second with the time left."""

    def __init__(self, report: Reporter) -> None:
        self.total = self.done = self.fetched = 0
        self._report = report
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._told: Downloading | None = None

    def begin(self, total: int, done: int) -> None:
        """How many bytes there are in all, and here already."""
        self.total, self.done = total, done
        self.tell(last=True)

    def add(self, count: int) -> None:
        """So many bytes more, or fewer where some had to be thrown away."""
        self.done += count
        self.fetched += max(count, 0)

    def tell(self, *, last: bool = False) -> None:
        """Report, if it is time to; raises what `report.check` raises."""
        self._report.check()
        moment = time.monotonic()
        due = not self._samples or moment - self._samples[-1][0] >= _SAMPLE_SECONDS
        if not self.total or not (due or last):
            return
        self._samples.append((moment, self.done))
        event = Downloading(self.done, self.total, self._seconds_left())
        if self._told is None or event.done != self._told.done:
            self._told = event
            self._report(event)

    def _seconds_left(self) -> float | None:
        (first, had), (now, have) = self._samples[0], self._samples[-1]
        if now - first < 1 or have <= had:
            return None
        return round((self.total - have) * (now - first) / (have - had), 1)


async def _fetch(wish: _Wish, settings: Settings, hub: Hub, progress: Progress) -> list[Repository]:
    async with hub:
        with ExitStack() as locks:
            found = await _needed(wish.spec, settings, hub, locks, progress) if wish.spec else []
            if wish.fast:
                found.append(await _fast_part(wish, wish.fast, settings, hub, locks))
            missing = [(one.place, wanted) for one in found for wanted in one.files if not _here(one.place, wanted)]
            markers = [(one.place, one.marker) for one in found if not holds(one.place, *one.marker)]
            total = sum(wanted.file.size for one in found for wanted in [*one.files, one.marker])
            lacking = sum(wanted.file.size - _grown(place, wanted) for place, wanted in missing + markers)
            _check_room(wish.model_id, found[0].place.folder, lacking)
            progress.begin(total, total - lacking)
            await _fetch_files(hub, missing, progress)
            await _fetch_files(hub, markers, progress)
            for one in found:
                one.place.finish()
                for name, commit in one.commits.items():
                    pins.pin(name, commit, settings)
            progress.tell(last=True)
    return found


async def _fetch_files(hub: Hub, missing: list[tuple[Place, Wanted]], progress: Progress) -> None:
    """All files, a few at once; those of one content one after the other, for they grow at one place."""
    turn = asyncio.Semaphore(_AT_ONCE)
    same: dict[Path, list[tuple[Place, Wanted]]] = {}
    for place, wanted in missing:
        same.setdefault(place.part(wanted.file), []).append((place, wanted))

    async def one(path: Path, group: list[tuple[Place, Wanted]]) -> None:
        async with turn:
            for place, wanted in group:
                await hub.fetch(wanted.file, path, progress.add)
                place.keep(*wanted)

    tasks = [asyncio.ensure_future(one(*each)) for each in same.items()]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _here(place: Place, wanted: Wanted) -> bool:
    return holds(place, *wanted) or place.adopt(*wanted)


def _grown(place: Place, wanted: Wanted) -> int:
    """Bytes of a file that an earlier try left."""
    part = place.part(wanted.file)
    return min(part.stat().st_size, wanted.file.size) if part.is_file() else 0


# --- Which files -----------------------------------------------------------------------------


async def _needed(
    spec: ModelSpec | SpeechSpec, settings: Settings, hub: Hub, locks: ExitStack, progress: Progress
) -> list[Repository]:
    if isinstance(spec, SpeechSpec):
        return [await _speech_part(spec, part, settings, hub, locks) for part in spec.parts]
    listing = await _listing(hub, spec.repository, spec.revision, settings)
    place = place_for(spec.repository, spec.revision, listing.commit, settings)
    locks.enter_context(alone(place, spec.id))
    if spec.index_file not in listing.files:
        raise ModelUnavailable(f"{spec.id}: {spec.repository} has no {spec.index_file}; it is laid out otherwise")
    marker = Wanted(listing.files[spec.index_file], spec.index_file)
    index = await _index(spec, place, marker, hub, progress)
    wanted: list[Wanted] = []
    commits = {pins.name_of(spec.repository, spec.revision): listing.commit}
    for component in components(index, spec.repository):
        holding, folder = listing, component.name
        if component.source:
            repository, revision, folder = component.source
            holding = await _listing(hub, repository, revision, settings)
            commits[pins.name_of(repository, revision)] = holding.commit
        wanted += _component(spec, component, holding, folder)
    return [Repository(place, listing.commit, wanted, marker, commits)]


async def _listing(hub: Hub, repository: str, revision: str, settings: Settings) -> Listing:
    """At the commit of the first download, if there was one."""
    commit = pins.pinned(pins.name_of(repository, revision), settings)
    try:
        return await hub.listing(repository, commit or revision)
    except ModelUnavailable as error:
        if commit and isinstance(error.__cause__, RevisionNotFoundError):
            raise ModelUnavailable(
                f"{error}: it was fetched at {commit[:12]} before, which {settings.pins_file} keeps to; "
                f"without its line there {revision} is fetched"
            ) from None
        raise


async def _index(
    spec: ModelSpec, place: Place, marker: Wanted, hub: Hub, progress: Progress
) -> dict[str, Any]:
    """The pipeline's index, which tells what else is needed."""
    if not holds(place, *marker):
        await hub.fetch(marker.file, place.part(marker.file), progress.add)
    file = place.folder / marker.local if holds(place, *marker) else place.part(marker.file)
    try:
        index = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, dict):
        raise ModelUnavailable(f"{spec.id}: {spec.index_file} of {spec.repository} is not a JSON object")
    weights.check_pipeline(spec, index, spec.repository)
    return index


def _component(spec: ModelSpec, component: Component, listing: Listing, folder: str) -> list[Wanted]:
    """The files of one component, in `folder` there, under the component's name here."""
    files = listing.files
    paths = files_of(files, folder, component.library)
    if weights.has_tensors(component.class_name) and not any(path.endswith(".safetensors") for path in paths):
        raise ModelUnavailable(
            f"{spec.id}: {spec.repository} has no .safetensors for {component.name}; pickles are never opened"
        )
    return [Wanted(files[path], f"{component.name}/{path.rpartition('/')[2]}") for path in paths]


async def _speech_part(
    spec: SpeechSpec, part: Part, settings: Settings, hub: Hub, locks: ExitStack
) -> Repository:
    listing = await _listing(hub, part.repository, part.revision, settings)
    place = place_for(part.repository, part.revision, listing.commit, settings)
    locks.enter_context(alone(place, spec.id))
    paths = {*part.files, *files_of(listing.files, "", "transformers")} - {"config.json"}
    if lacking := sorted({*paths, "config.json"} - listing.files.keys()):
        raise ModelUnavailable(f"{spec.id}: {part.repository} has no {lacking[0]}; it is laid out otherwise")
    # The folder is found by its config.json.
    files = [Wanted(listing.files[path], path) for path in sorted(paths)]
    marker, commits = Wanted(listing.files["config.json"], "config.json"), {part.repository: listing.commit}
    return Repository(place, listing.commit, files, marker, commits)


async def _fast_part(wish: _Wish, fast: Fast, settings: Settings, hub: Hub, locks: ExitStack) -> Repository:
    listing = await _listing(hub, fast.repository, _MAIN, settings)
    place = place_for(fast.repository, _MAIN, listing.commit, settings)
    locks.enter_context(alone(place, wish.model_id))
    if lacking := [path for path in fast.files if path not in listing.files]:
        raise ModelUnavailable(f"{wish.model_id}: {fast.repository} has no {lacking[0]}; it is laid out otherwise")
    *files, last = [Wanted(listing.files[path], path) for path in fast.files]
    return Repository(place, listing.commit, files, last, {fast.repository: listing.commit})


# --- Before and after ------------------------------------------------------------------------


def _check_room(model_id: str, folder: Path, lacking: int) -> None:
    free = free_bytes(folder)
    if lacking and lacking + _SPARE > free:
        raise StorageError(
            "download", f"{free / 1e9:.1f} GB free for {folder}",
            f"{(lacking + _SPARE) / 1e9:.1f} GB for the rest of {model_id}, or WAN_APP_WEIGHTS_DIR on another disk",
        )


def _has_fast(fast: Fast, settings: Settings) -> bool:
    return all(weights.locate_file(fast.repository, name, settings) for name in fast.files)


def _locate(spec: ModelSpec | SpeechSpec, settings: Settings) -> Path:
    if isinstance(spec, ModelSpec):
        return weights.locate(spec, settings)
    return speech_weights.locate(spec, settings)[0]


def _whole(spec: ModelSpec | SpeechSpec, settings: Settings) -> Path | None:
    """The folder of a model that is here; a bundled one that is not is nothing for the hub."""
    try:
        return _locate(spec, settings)
    except ModelUnavailable:
        if isinstance(spec, ModelSpec) and spec.bundled:
            raise
        return None


def _result(
    spec: ModelSpec | SpeechSpec, folder: Path, *, commit: str | None = None, total: int = 0, fetched: int = 0,
    seconds: float = 0.0,
) -> Downloaded:
    return Downloaded(
        model=spec.id, repository=spec.repository, commit=commit, folder=folder, total=total, fetched=fetched,
        seconds=round(seconds, 1),
    )


async def _attended(work: Coroutine[Any, Any, T], progress: Progress) -> T:
    """The outcome of `work`, with progress told and the wish to stop looked for all the while."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_TICK)
            progress.tell()
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, which at its end would wait for a look-up of a name that nobody answers."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
