"""Whatever goes wrong while a model loads, as one of our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from wan_app.devices import is_out_of_memory
from wan_app.errors import ModelUnavailable, OutOfMemory, WanAppError
from wan_app.families.base import Plan


@contextmanager
def faults_as_ours(model_id: str, plan: Plan, where: str) -> Iterator[None]:
    """Faults of the libraries inside it, as one of our errors; for video and for speech models.

    Args:
        where: the folder or folders that are read.
    Raises:
        ModelUnavailable: a folder looked whole but its content does not load.
        OutOfMemory: the plan did not fit.
    """
    _quiet_libraries()
    try:
        yield
    except WanAppError:
        raise
    except Exception as error:
        # diffusers, transformers and safetensors each raise their own kinds on a wrong file;
        # for the user they are one: this folder is not this model. The cause stays chained.
        if is_out_of_memory(error):
            raise OutOfMemory(f"{model_id} does not fit on {plan.device}: {_in_a_line(error)}") from error
        raise ModelUnavailable(
            f"{model_id}: the weights in {where} do not load: {type(error).__name__}: {_in_a_line(error)}"
        ) from error


def _in_a_line(error: Exception) -> str:
    """The first sentence: what libraries say after it is advice to whoever programs with them."""
    line = (str(error).strip().splitlines() or [""])[0]
    return line.partition(". ")[0][:300]


@cache
def _quiet_libraries() -> None:
    """No progress bars of the libraries' own on the command line's error stream: progress is an event."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()
