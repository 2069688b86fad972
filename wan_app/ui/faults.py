"""What goes wrong inside an event, between Gradio and us: told to the caller in one line, to the log in full."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr
from pydantic import ValidationError

# In the scope of a request whose inputs Gradio itself refused.
REFUSED = "wan_app_refused"
log = logging.getLogger(__name__)


def tamed(demo: gr.Blocks) -> None:
    """Keep Gradio from printing a traceback for whatever anybody sends, and from telling our insides."""
    process = demo.process_api

    async def process_api(*args: Any, **kwargs: Any) -> Any:
        try:
            return await process(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False
            _mark(kwargs.get("request"))
            raise
        except ValidationError as error:
            # An input that is not shaped like its component's: a picture without a path, say.
            log.warning("an input was refused", extra={"kind": error.title})
            _mark(kwargs.get("request"))
            raise gr.Error("An input has another shape than it should", print_exception=False) from None
        except Exception as error:
            log.exception("an event failed")
            raise gr.Error(f"The app itself failed ({type(error).__name__})", print_exception=False) from None

    demo.process_api = process_api


def _mark(request: Any) -> None:
    scope = getattr(getattr(request, "request", None), "scope", None)
    if isinstance(scope, dict):
        scope[REFUSED] = True
