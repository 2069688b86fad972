"""Who asks, and what their browser keeps for them, read with care: anybody can send anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradio.context import LocalContext

from wan_app.errors import WanAppError
from wan_app.sharing.gate import WHO
from wan_app.sharing.who import Who

# Beside WHO in the request's scope: whether a file of Gradio's was given to the one who asks.
MAY_USE = "wan_app_may_use"


class NotSignedIn(WanAppError):
    """A call that did not come through the gate."""

    def __init__(self) -> None:
        super().__init__("This page has expired. Load it again")


def who() -> Who:
    """Whoever the event being handled comes from, as the gate found. Raises NotSignedIn."""
    found = _scope().get(WHO)
    if not isinstance(found, Who):
        raise NotSignedIn
    return found


def may_use(path: str) -> bool:
    """Whether a file of Gradio's cache was uploaded by, or shown to, the one who asks."""
    known: Callable[[str], bool] | None = _scope().get(MAY_USE)
    return known is not None and known(path)


def asked_at(root_path: str) -> str:
    """The address under which the one who asks sees the page."""
    scope = _scope()
    host = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host}{root_path.rstrip('/')}"


def job_of(stored: Any) -> str:
    """The job id in a store of the browser, or ""."""
    job_id = stored.get("job") if isinstance(stored, dict) else None
    return job_id if isinstance(job_id, str) else ""


def asked_for(stored: Any) -> bool:
    """Whether the browser asked for a job and had no answer yet when it wrote this down."""
    return isinstance(stored, dict) and stored.get("asked") is True


# What the browser writes down as it asks; the answer writes it over.
ASKING = "(session) => ({...session, asked: true})"


def _scope() -> dict[str, Any]:
    """The ASGI scope of the request behind the event: Gradio carries it along into its queue."""
    request = LocalContext.request.get(None)
    return getattr(getattr(request, "request", None), "scope", None) or {}
