"""What the browser keeps for a visitor, read with care: anybody can send anything."""

from __future__ import annotations

from typing import Any


def visitor_of(session: Any) -> str:
    """The visitor's secret token; "" if there is none worth the name."""
    token = session.get("visitor") if isinstance(session, dict) else None
    return token if isinstance(token, str) and len(token) >= 16 else ""


def job_of(stored: Any) -> str:
    """The job id in a store of the browser, or ""."""
    job_id = stored.get("job") if isinstance(stored, dict) else None
    return job_id if isinstance(job_id, str) else ""
