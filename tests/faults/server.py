"""A studio without a page, made to be killed: one JSON request a line on stdin, one answer a line on stdout.

`python -m tests.faults.server DATA_DIR RECIPE STALL_SECONDS`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from wan_app import services
from wan_app.errors import WanAppError
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import GenerationRequest


def answer(studio: Services, asked: dict[str, Any]) -> dict[str, Any]:
    """What one request comes to."""
    owner = asked.get("owner", "local")
    if asked["do"] == "submit":
        return {"id": studio.submit(GenerationRequest.from_json(asked["request"]), owner=owner)}
    if asked["do"] == "cancel":
        return {"state": studio.cancel(asked["id"], owner=owner).state}
    if asked["do"] == "move":
        return {"state": studio.move(asked["id"], asked["to"], owner=owner).state}
    return {}


def main(data: str, recipe: str, stall: str) -> None:
    """Serve until killed, or until nobody asks any more."""
    services.RECIPE = recipe
    if recipe != "wan_app.generate:open_recipe":
        services.weights.locate = lambda spec, settings, override=None: Path(".")  # type: ignore[assignment]
    studio = Services(Settings(data_dir=Path(data), device="cpu", stall_seconds=float(stall)), lasting=True)
    for line in sys.stdin:
        try:
            told = answer(studio, json.loads(line))
        except WanAppError as error:
            told = {"error": str(error)}
        print(json.dumps(told), flush=True)
    studio.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
