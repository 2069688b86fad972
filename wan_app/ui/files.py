"""Results over HTTP: /files/JOB/NAME, for the owner of the job only, with ranges for players that seek."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from wan_app.errors import JobNotFound
from wan_app.sharing.answers import refusal
from wan_app.sharing.gate import WHO
from wan_app.ui.delivery import file_name

if TYPE_CHECKING:
    from wan_app.runtime.job import JobView
    from wan_app.services import Services

PREFIX = "/files/"
_TYPES = {".mp4": "video/mp4", ".wav": "audio/wav"}


def file_url(job: JobView, *, download: bool = False) -> str:
    """Where the page finds the result of a job; relative, so that it holds behind a proxy too."""
    name = quote(file_name(job.request, job.result)) if job.result else ""
    return f"{PREFIX[1:]}{quote(job.id)}/{name}{'?download' if download else ''}"


class Files:
    """ASGI application for PREFIX."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        answer = await asyncio.to_thread(self._answer, scope)
        await answer(scope, receive, send)

    def _answer(self, scope: Any) -> Response:
        job_id = scope["path"].removeprefix(PREFIX).partition("/")[0]
        if scope["method"] == "POST":
            return refusal(405, "Results are only read here")
        try:
            job = self._services.job(job_id, owner=scope[WHO].owner)
        except JobNotFound:
            return refusal(404, "There is no such video of yours")
        if job.result is None or not job.result.file.is_file():
            return refusal(404, "There is no file of this video")
        download = scope["query_string"] == b"download"
        return FileResponse(
            job.result.file, media_type=_TYPES.get(job.result.file.suffix, "application/octet-stream"),
            filename=file_name(job.request, job.result),
            content_disposition_type="attachment" if download else "inline",
            # Asked for again after a sign-out, it must come from here and not from the browser's memory.
            headers={"Cache-Control": "private, no-cache"},
        )
