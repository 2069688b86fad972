"""The library's own addresses: each for its owner, and none that leads elsewhere."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.library.conftest import make
from wan_app.services import Services
from wan_app.sharing.gate import WHO
from wan_app.sharing.who import OWNER, Who
from wan_app.ui.keepsakes import Keepsakes, export_url, face_url, thumb_url

VISITOR = Who("visitor", "visitor:ab12")
GUEST = Who("guest", "guest:ab12")


def ask(services: Services, method: str, path: str, who: Who = OWNER, content: bytes = b"") -> httpx.Response:
    """The answer to a request that the gate let through."""
    inside = Keepsakes(services)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inside({**scope, WHO: who}, receive, send)

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://studio") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(asked())


@pytest.fixture
def job_id(services: Services) -> str:
    return make(services)


def test_a_small_picture(services: Services, job_id: str) -> None:
    answer = ask(services, "GET", f"/{thumb_url(job_id)}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
    assert "no-cache" in answer.headers["cache-control"] and Image.open(io.BytesIO(answer.content)).width == 360


def test_a_zip(services: Services, job_id: str) -> None:
    answer = ask(services, "GET", "/" + export_url([job_id]))
    assert answer.headers["content-disposition"].startswith('attachment; filename="videos-')
    assert len(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) == 2


def test_a_zip_comes_back(services: Services, elsewhere: Services, job_id: str) -> None:
    data = ask(services, "GET", "/" + export_url([job_id])).content
    answer = ask(elsewhere, "POST", "/library/import", content=data)
    assert answer.status_code == 200 and len(answer.json()["jobs"]) == 1
    assert not list(elsewhere.settings.cache_dir.glob(".*.part"))


@pytest.mark.parametrize("who", [VISITOR, GUEST])
def test_others_find_nothing(services: Services, job_id: str, face: Path, who: Who) -> None:
    mia = services.library.add("Mia", faces=[face], voice=None, consent=True, owner="local")
    assert ask(services, "GET", f"/{face_url(mia.id, 0)}").status_code == 200
    for path in (thumb_url(job_id), export_url([job_id]), face_url(mia.id, 0)):
        answer = ask(services, "GET", f"/{path}", who)
        assert answer.status_code == 404 and answer.headers["content-type"] == "application/json"
    assert ask(services, "POST", "/library/import", who, b"PK").status_code == 403


@pytest.mark.parametrize("path", [
    "/library/thumb/nothing.jpg", "/library/thumb/..%2f..%2fledger.sqlite3", "/library/face/0/0.jpg", "/library/",
    "/library/face/aaaaaaaaaaaa/0.jpg", "/library/export.zip", "/library/export.zip?job=x", "/library/import",
    "/library/export.zip?" + "&".join(["job=x"] * 3000), "/library/thumb/%00.jpg", "/library/keys/mark.key",
])
def test_other_addresses_are_not_there(services: Services, path: str) -> None:
    assert ask(services, "GET", path).status_code == 404


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip" * 1000])
def test_a_body_that_is_no_zip(services: Services, content: bytes) -> None:
    answer = ask(services, "POST", "/library/import", content=content)
    assert answer.status_code == 422 and answer.json()["error"].startswith("archive: got")
    assert not list(services.settings.cache_dir.glob(".*.part"))


def test_only_import_takes_a_post(services: Services) -> None:
    assert ask(services, "POST", "/library/export.zip").status_code == 405
