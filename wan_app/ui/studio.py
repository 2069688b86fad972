"""The studio as a whole: services, page, gate and server, put together and taken down again."""

from __future__ import annotations

import inspect
import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import psutil
from gradio.utils import get_upload_folder

from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.sharing import logs
from wan_app.sharing.door import check_sharing, open_door
from wan_app.sharing.gate import Gate
from wan_app.sharing.metrics import Sample
from wan_app.sharing.network import Network
from wan_app.sharing.server import Server
from wan_app.sharing.store import Store
from wan_app.ui import examples, keepsakes, launch
from wan_app.ui.belongings import Belongings
from wan_app.ui.bodies import Endpoint, Endpoints
from wan_app.ui.files import PREFIX, Files
from wan_app.ui.guard import UPLOAD, Guard
from wan_app.ui.tunnel import Tunnel

# Files in one upload. Gradio's own limit, MAX_UPLOAD, is for each of them.
_FILES = 6
log = logging.getLogger(__name__)


class Studio:
    """Built by the constructor, reachable after `open`, gone after `close`.

    Raises:
        InvalidRequest: settings that can't be meant, a weak password, a port that is taken.
        StorageError: the data folder cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        check_sharing(settings)
        self._network = Network(settings)
        self._store = Store(settings.sharing_file)
        self.door, self._protection = open_door(settings, self._store)
        # From here on nobody needs the password itself.
        self.settings = settings = replace(settings, sharing=replace(settings.sharing, password=None))
        self._server = Server(settings)
        self._log, self._began = logs.start(settings), time.monotonic()
        self._tunnel: Tunnel | None = None
        self.services = Services(settings, lasting=True)
        self._demo = launch.build(self.services, settings)
        self.gate = self._gate()

    def open(self) -> None:
        """Begin to answer; with --share, also under a public address."""
        self._server.start(self.gate)
        if self.settings.sharing.share:
            self._tunnel = Tunnel(self._server.port, self.settings.cache_dir)
            self._network.add(self._tunnel.url)
        self._store.remember("address", self._tunnel.url if self._tunnel else self._server.reachable)
        log.info("studio open", extra={"kind": self.door.mode})

    def told(self) -> dict[str, Any]:
        """What `serve --json` prints."""
        told: dict[str, Any] = {"url": self._server.url}
        if self._tunnel:
            told["share_url"] = self._tunnel.url
        if self._protection:
            told["protection"] = self._protection
        return told

    def lines(self) -> list[str]:
        """The same for people."""
        lines = [f"The studio is open at {self._server.url}  (Ctrl+C stops it)"]
        if self._tunnel:
            lines.append(f"From anywhere, for a week: {self._tunnel.url}")
        return [*lines, *filter(None, [self._protection])]

    def close(self) -> None:
        """Stop answering, end the worker, give everything back."""
        if self._tunnel:
            self._tunnel.close()
        self._demo.close(verbose=False)
        self._server.stop()
        self.services.close()
        self._store.close()
        logs.stop(self._log)

    def _gate(self) -> Gate:
        gradio = launch.mounted(self._demo, self.settings)
        guard = Guard(
            gradio, endpoints=endpoints_of(self._demo), belongings=Belongings(), cache=Path(get_upload_folder()),
            public=examples.FOLDER if examples.stored() else None,
        )
        ours: dict[str, Any] = {PREFIX: Files(self.services), keepsakes.PREFIX: keepsakes.Keepsakes(self.services)}

        async def inside(scope: Any, receive: Any, send: Any) -> None:
            path = scope["path"] if scope["type"] == "http" else ""
            found = next((one for prefix, one in ours.items() if path.startswith(prefix)), guard)
            await found(scope, receive, send)

        return Gate(
            app=inside, door=self.door, network=self._network, settings=self.settings,
            uploads={UPLOAD: _FILES * launch.MAX_UPLOAD, keepsakes.IMPORT: keepsakes.MAX_ARCHIVE},
            health=self._health, gauges=self._gauges,
        )

    def _health(self) -> dict[str, Any]:
        self.services.tally()
        return {"seconds": round(time.monotonic() - self._began, 1)}

    def _gauges(self) -> list[Sample]:
        """What is measured when somebody asks."""
        tally = self.services.tally()
        found = [Sample("wan_app_jobs", count, {"state": state}) for state, count in tally.jobs.items()]
        found += [
            Sample("wan_app_queue_length", tally.jobs.get("queued", 0)),
            Sample("wan_app_video_seconds", tally.video_seconds), Sample("wan_app_work_seconds", tally.work_seconds),
            Sample("wan_app_up_seconds", time.monotonic() - self._began),
            Sample("wan_app_disk_free_bytes", shutil.disk_usage(self.settings.data_dir).free),
        ]
        here = psutil.Process()
        found.append(Sample("wan_app_memory_bytes", here.memory_info().rss, {"process": "server"}))
        worker = sum(_memory(child) for child in here.children(recursive=True))
        return [*found, Sample("wan_app_memory_bytes", worker, {"process": "worker"})]


def endpoints_of(demo: gr.Blocks) -> Endpoints:
    """Everything of the page and the API that runs on the server."""
    found = []
    for index, one in demo.fns.items():
        if one.fn is None:
            continue
        name = one.api_name if one.api_visibility == "public" and isinstance(one.api_name, str) else ""
        fields = _fields(one.fn) if name else ()
        found.append(Endpoint(index, len(one.inputs), name, queued=bool(one.queue), fields=fields))
    return Endpoints(found)


def _fields(function: Any) -> tuple[tuple[str, Any], ...]:
    given = inspect.signature(function).parameters.values()
    return tuple((one.name, ... if one.default is inspect.Parameter.empty else one.default) for one in given)


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
