"""The log as JSON lines: what happened to which job, without prompts, tokens or addresses of files."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from typing import Any

from wan_app.settings import Settings

# Fields that our own code may add by `extra=`; anything else stays out.
FIELDS = (
    "job", "state", "mode", "model", "seconds", "frames", "attempt", "route", "status", "reason", "role", "guest",
    "address", "kind", "count",
)
# Written only where the one who runs the studio asked for it.
PRIVATE = ("prompt",)
_BYTES, _FILES = 5_000_000, 4
# Secrets that may slip into a line of somebody else's: links of guests, sessions, bearer tokens.
_SECRET = re.compile(r"(guest/|Bearer |hf_|wan_app_session\w*=)[A-Za-z0-9_.\-]{8,}")
_HANDLER = "wan-app-json"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and known fields."""

    def __init__(self, *, prompts: bool = False) -> None:
        super().__init__()
        self._fields = FIELDS + (PRIVATE if prompts else ())

    def format(self, record: logging.LogRecord) -> str:
        """As logging.Formatter.format."""
        row: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": _clean(record.getMessage()),
        }
        row |= {name: getattr(record, name) for name in self._fields if hasattr(record, name)}
        if record.exc_info and record.exc_info[0]:
            row["error"] = record.exc_info[0].__name__
            row["trace"] = _clean(self.formatException(record.exc_info))
        return json.dumps(row, ensure_ascii=False, default=str)


def start(settings: Settings) -> logging.Handler:
    """Write what this process logs to logs/studio.jsonl, at most 25 MB of it; call once a studio."""
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        settings.logs_dir / "studio.jsonl", maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8",
        errors="backslashreplace",
    )
    handler.setFormatter(JsonLines(prompts=settings.log_prompts))
    handler.set_name(_HANDLER)
    handler.setLevel(logging.INFO)
    root = logging.getLogger()
    root.addHandler(handler)
    if not any(type(one) is logging.StreamHandler for one in root.handlers):
        # Without any handler, Python itself would print these.
        console = logging.StreamHandler()
        console.setLevel(logging.WARNING)
        console.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        root.addHandler(console)
    ours = logging.getLogger("wan_app")
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)
    return handler


def stop(handler: logging.Handler) -> None:
    """Close the file."""
    logging.getLogger().removeHandler(handler)
    handler.close()


def _clean(text: str) -> str:
    return _SECRET.sub(r"\1***", text)
