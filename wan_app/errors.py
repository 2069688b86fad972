"""Everything that can go wrong, in one tree.

WanAppError                 one line for the user; `exit_code` for the command line
├── InvalidRequest     2    a field of the request: which one, what was got, what is needed
│   └── StorageError   2    a disk or a path that cannot take the result
├── ModelUnavailable   3    weights that are not here: what they are and how to get them
├── OutOfMemory        4    the plan did not fit the device
├── ExportFailed       1    the written file is not what was asked for
├── WorkerDied         1    the process that made the video ended (killed, crashed)
└── JobNotFound        2    an id that no job has

Cancelled (BaseException)  130  the user's wish, not a failure: no `except Exception` may swallow it
"""

from __future__ import annotations


class WanAppError(Exception):
    """Base of all errors meant for the user; `str(error)` is one line without a traceback."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InvalidRequest(WanAppError):
    """A request which cannot be run as it is.

    Args:
        field: name of the field, in the request's own words (`prompt`, `image`, `size`).
        got: what was given, short and safe to print.
        needed: what would be accepted.
    """

    exit_code = 2

    def __init__(self, field: str, got: str, needed: str) -> None:
        super().__init__(f"{field}: got {got}; needed {needed}")
        self.field, self.got, self.needed = field, got, needed


class StorageError(InvalidRequest):
    """The result cannot be kept: no space, no permission, no such folder."""


class ModelUnavailable(WanAppError):
    """The model is known but its weights are not on this machine, or are broken."""

    exit_code = 3


class OutOfMemory(WanAppError):
    """The device ran out of memory under the plan in use."""

    exit_code = 4


class ExportFailed(WanAppError):
    """The written file does not hold what was asked for."""


class WorkerDied(WanAppError):
    """The worker process ended before the job did."""


class JobNotFound(WanAppError):
    """No job has this id."""

    exit_code = 2


class Cancelled(BaseException):
    """Raised inside a running job when the user cancels it. Not an error."""

    exit_code = 130
