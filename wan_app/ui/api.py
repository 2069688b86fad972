"""The public Gradio API: named endpoints with defaults, for gradio_client, curl and agents.

The signatures come from one table, for four endpoints share a dozen fields. Waiting endpoints are
coroutines: a hundred waiting callers must not use up the threads that the page needs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Optional

import gradio as gr
from gradio.data_classes import FileData

from wan_app.consent.ledger import STATEMENT
from wan_app.errors import InvalidRequest, WanAppError
from wan_app.types import GenerationRequest, GenerationResult
from wan_app.ui.delivery import deliver, file_data, public_result
from wan_app.ui.form import build_request
from wan_app.ui.session import who
from wan_app.ui.speed import with_speed
from wan_app.ui.verify import start_check

if TYPE_CHECKING:
    from wan_app.runtime.job import JobView
    from wan_app.services import Services

_POLL = 0.25
_NEEDED = inspect.Parameter.empty
log = logging.getLogger(__name__)
Field = tuple[Any, Any]  # type, default
PROMPT: dict[str, Field] = {"prompt": (str, _NEEDED)}
IMAGE: dict[str, Field] = {"image": (FileData, _NEEDED), "last_image": (Optional[FileData], None)}
# faces, voice: of `character1`; characters: [{"name": ..., "faces": [...], "voice": ...}] for several people.
REFERENCE: dict[str, Field] = {
    "faces": (Optional[list[FileData]], None), "consent": (bool, False), "characters": (Optional[list[dict]], None),
}
SETTINGS: dict[str, Field] = {
    "negative_prompt": (str, ""), "model": (Optional[str], None), "width": (Optional[int], None),
    "height": (Optional[int], None), "seconds": (Optional[float], None), "num_frames": (Optional[int], None),
    "seed": (Optional[int], None), "num_inference_steps": (Optional[int], None),
    "guidance_scale": (Optional[float], None),
}
# Behind the others: who calls by position need not count anew.
SOUND: dict[str, Field] = {
    "say": (str, ""), "soundtrack": (Optional[FileData], None), "soundtrack_mode": (str, "auto"),
}
# loras: names of files in the studio's folder, without their ending.
SPEED: dict[str, Field] = {
    "preset": (str, "quality"), "guidance_until": (float, 1.0), "step_cache": (float, 0.0),
    "loras": (Optional[list[str]], None), "lora_weight": (float, 1.0),
}
VOICE: dict[str, Field] = {"voice": (Optional[FileData], None), "sound_only": (bool, False)}


def build(services: Services) -> None:
    """Add the public endpoints to the Blocks being built."""
    api = Api(services)
    waiting = tuple[FileData, dict]
    _add(api, "text_to_video", PROMPT | SETTINGS | SOUND | SPEED, waiting, api.waits("text"),
         "Words to video; waits, then returns the file and the result.")
    _add(api, "image_to_video", PROMPT | IMAGE | SETTINGS | SOUND | SPEED, waiting, api.waits("image"),
         "A first picture (and perhaps a last one) to video; waits, then returns the file and the result.")
    people = PROMPT | REFERENCE | SETTINGS | SOUND | VOICE | SPEED
    _add(api, "reference_to_video", people, waiting, api.waits("reference"),
         "Faces and voices of people, called character1... in the prompt, to video; consent must be true, "
         f'and is written down as your statement: "{STATEMENT}" '
         "sound_only: just the voice, as a WAV.")
    optional = {name: (kind, None) for name, (kind, _) in IMAGE.items()}
    every = {"mode": (str, _NEEDED)} | PROMPT | optional | REFERENCE | SETTINGS | SOUND | VOICE | SPEED
    _add(api, "submit", every, str, api.submit,
         "Queue a video of mode text, image or reference; returns the job id at once.")
    _add(api, "job", {"job_id": (str, _NEEDED)}, dict, api.job, "A job as it stands; with its file when finished.")
    _add(api, "cancel", {"job_id": (str, _NEEDED)}, dict, api.cancel, "Stop a job; returns it as it stands.")
    _add(api, "verify", {"file": (Optional[FileData], None), "job_id": (Optional[str], None)}, dict, api.verify,
         "Look for the marks of a file, or of a finished job of yours, and say what they show; waits, two minutes "
         "at most.")
    _add(api, "models", {}, list, api.models, "Every model: what it does, what it costs, whether it is here.")


class Api:
    """The endpoints. Each takes its fields by name and raises WanAppError."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def waits(self, mode: str) -> Callable[[dict[str, Any]], Awaitable[Any]]:
        """The endpoint of a mode which returns when the video is made."""

        async def make(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
            request = self._request(mode, values)
            job = await self._finished(await asyncio.to_thread(self._submit, request))
            if job.result is None:
                raise WanAppError(job.error or "The job was cancelled")
            return await asyncio.to_thread(_file, job, job.result), public_result(job.result)

        return make

    async def submit(self, values: dict[str, Any]) -> str:
        """Job id of a queued request."""
        return await asyncio.to_thread(self._submit, self._request(values.pop("mode"), values))

    async def job(self, values: dict[str, Any]) -> dict[str, Any]:
        """The job's row; `file` is a file the client fetches."""
        return await asyncio.to_thread(self._row, self._services.job, values["job_id"])

    async def cancel(self, values: dict[str, Any]) -> dict[str, Any]:
        """The job's row after asking it to stop."""
        return await asyncio.to_thread(self._row, self._services.cancel, values["job_id"])

    async def models(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of `models --json`."""
        return await asyncio.to_thread(self._services.models)

    async def verify(self, values: dict[str, Any]) -> dict[str, Any]:
        """What `verify --json` prints."""
        checks, owner = self._services.checks, who().owner
        check = await asyncio.to_thread(start_check, self._services, values["file"], values["job_id"])
        try:
            while not (check := checks.view(check.id, owner=owner)).ended:
                await asyncio.sleep(_POLL)
        except asyncio.CancelledError:
            checks.cancel(check.id, owner=owner)  # nobody is left to read it
            raise
        if check.error is not None or check.answer is None:
            raise check.error or WanAppError("The check was stopped")
        return check.answer.to_json()

    def _request(self, mode: Any, values: dict[str, Any]) -> GenerationRequest:
        return with_speed(build_request(mode, values), values, self._services.settings.loras_dir)

    def _submit(self, request: GenerationRequest) -> str:
        return self._services.submit(request, owner=who().owner)

    async def _finished(self, job_id: str) -> JobView:
        try:
            while not (job := await asyncio.to_thread(self._services.job, job_id, owner=who().owner)).ended:
                await asyncio.sleep(_POLL)
        except asyncio.CancelledError:
            # The caller went away; nobody else knows this job's id.
            self._services.cancel(job_id, owner=who().owner)
            raise
        return job

    def _row(self, call: Callable[..., JobView], job_id: Any) -> dict[str, Any]:
        job = call(job_id, owner=who().owner)
        row = job.to_json()
        if job.result is not None:
            row["result"] = public_result(job.result)
            row["file"] = _file(job, job.result)
        return row


def _file(job: JobView, result: GenerationResult) -> dict[str, Any]:
    """The video as a file that the client fetches."""
    try:
        return file_data(deliver(job.id, result, job.request))
    except OSError as error:
        got = f"{result.file.name}, which cannot be read ({error.strerror})"
        raise InvalidRequest("file", got, "a video that is still where it was written") from error


def _add(
    api: Api, name: str, fields: dict[str, Field], returns: Any,
    run: Callable[[dict[str, Any]], Awaitable[Any]], about: str,
) -> None:
    async def endpoint(*values: Any) -> Any:
        try:
            return await run(dict(zip(fields, values)))
        except WanAppError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from None
        except Exception as error:
            # Its text may tell of the server's inside; the log keeps it.
            log.exception("%s failed", name)
            raise gr.Error(f"The app itself failed ({type(error).__name__})", print_exception=False) from None

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    endpoint.__name__ = name
    endpoint.__annotations__ = {field: hint for field, (hint, _) in fields.items()} | {"return": returns}
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(field, kind, default=default, annotation=hint)
         for field, (hint, default) in fields.items()],
        return_annotation=returns,
    )
    gr.api(endpoint, api_name=name, api_description=about, concurrency_limit=None)
