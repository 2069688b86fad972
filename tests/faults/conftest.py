"""Jobs to hold against the disk."""

from tests.runtime.conftest import make_job, make_task, settings

__all__ = ["make_job", "make_task", "settings"]
