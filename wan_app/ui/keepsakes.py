"""The library over HTTP, for its owner only: small pictures, zips out and zips in.

    GET  library/thumb/JOB.jpg          of a video
    GET  library/face/ID/0.jpg          of somebody of the cast
    GET  library/export.zip?job=A&job=B&inputs=1
    POST library/import                 the zip itself as the body
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.media.storage import storage_error
from wan_app.runtime.job import now
from wan_app.sharing.answers import refusal
from wan_app.sharing.gate import WHO

if TYPE_CHECKING:
    from wan_app.services import Services

PREFIX = "/library/"
IMPORT = PREFIX + "import"
# Of a zip that is brought in: some two hundred minutes of video.
MAX_ARCHIVE = 4_000_000_000
_THUMB = re.compile(r"thumb/([\w-]{1,80})\.jpg")
_FACE = re.compile(r"face/([0-9a-f]{12})/(\d)\.jpg")
_STALE = 3600.0
# Asked for again after a sign-out, it must come from here and not from the browser's memory.
_PRIVATE = {"Cache-Control": "private, no-cache"}
log = logging.getLogger(__name__)


def thumb_url(job_id: str) -> str:
    """Where the page finds the small picture of a video; relative, so that it holds behind a proxy too."""
    return f"{PREFIX[1:]}thumb/{quote(job_id)}.jpg"


def face_url(member_id: str, number: int, stem: str = "") -> str:
    """Where it finds a face; `stem`, the picture's content name, makes a new one load anew."""
    return f"{PREFIX[1:]}face/{quote(member_id)}/{number}.jpg" + (f"?{quote(stem[:12])}" if stem else "")


def export_url(job_ids: Sequence[str], *, with_inputs: bool = False) -> str:
    """Where it finds results as a zip."""
    asked = [("job", one) for one in job_ids] + ([("inputs", "1")] if with_inputs else [])
    return f"{PREFIX[1:]}export.zip?{urlencode(asked)}"


class Keepsakes:
    """ASGI application for PREFIX."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # A page of new small pictures takes seconds: whoever plays a video meanwhile must not stand behind them.
        self._small = ThreadPoolExecutor(2, thread_name_prefix="thumbs")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            answer = await self._taken_in(scope, receive)
        else:
            answer = await asyncio.get_running_loop().run_in_executor(self._small, self._found, scope)
        await answer(scope, receive, send)

    def _found(self, scope: Any) -> Response:
        rest, owner = scope["path"].removeprefix(PREFIX), scope[WHO].owner
        library = self._services.library
        try:
            if found := _THUMB.fullmatch(rest):
                return _picture(library.gallery.thumbnail(found[1], owner))
            if found := _FACE.fullmatch(rest):
                return _picture(library.face(found[1], int(found[2]), owner))
            if rest == "export.zip":
                return self._exported(scope["query_string"].decode("latin-1"), owner)
        except JobNotFound:
            return refusal(404, "There is no such video of yours")
        except WanAppError as error:
            return refusal(404, str(error))
        except ValueError:  # thousands of fields
            pass
        return refusal(404, "There is nothing here")

    def _exported(self, query: str, owner: str) -> Response:
        asked = parse_qs(query, max_num_fields=2000)
        pieces = self._services.library.export(
            asked.get("job", []), owner, with_inputs=asked.get("inputs") == ["1"]
        )
        name = f"videos-{now()[:10]}.zip"
        headers = {**_PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(filter(None, pieces), media_type="application/zip", headers=headers)

    async def _taken_in(self, scope: Any, receive: Any) -> Response:
        if scope["path"] != IMPORT:
            return refusal(405, "Only read here")
        if not scope[WHO].manages:
            return refusal(403, "Zips are brought in by the owner of this studio")
        part = self._services.settings.cache_dir / f".{uuid.uuid4().hex}.part"
        try:
            await asyncio.to_thread(_clear, part.parent)
            if not await _received(receive, part):
                return refusal(400, "The zip did not come whole")
            arrived = await asyncio.to_thread(self._services.library.take_in, part, scope[WHO].owner)
        except InvalidRequest as error:
            return refusal(422, str(error))
        except OSError as error:
            return refusal(507, str(storage_error("archive", part.parent, error)))
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        log.info("zip brought in", extra={"kind": f"{len(arrived.jobs)} new"})
        return JSONResponse(arrived.to_json())


def _picture(file: Path | None) -> Response:
    if file is None:
        return refusal(404, "There is no picture of it")
    return FileResponse(file, media_type="image/jpeg", headers=_PRIVATE)


async def _received(receive: Any, to: Path) -> bool:
    """Write a body to a file as it comes; whether it came whole."""
    with to.open("wb") as file:
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return False
            file.write(message.get("body", b""))
            if not message.get("more_body"):
                return True


def _clear(folder: Path) -> None:
    """The folder is there, and holds no zips of studios that were killed while one came."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()
