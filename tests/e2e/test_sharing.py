"""A shared studio: a password, two guests, and what each of them reaches of the others."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from tests.e2e.sub_path_proxy import SubPathProxy
from wan_app.sharing.guests import Guests
from wan_app.sharing.store import Store

PASSWORD = "a password of mine"


@dataclass
class Person:
    """Somebody's browser, without a page."""

    client: httpx.Client
    url: str

    def call(self, name: str, **given: Any) -> tuple[str, str]:
        """(id, what the stream of the answer says) of a call of the API."""
        event = self.client.post(f"gradio_api/call/v2/{name}", json=given).json()["event_id"]
        return event, self.client.get(f"gradio_api/call/v2/{name}/{event}", timeout=60).text

    def made(self, **given: Any) -> str:
        """Id of a finished job."""
        _, told = self.call("submit", **{"mode": "text", "prompt": "quick", "num_inference_steps": 1, **given})
        job_id = json.loads(told.split("data:", 1)[1].splitlines()[0])[0]
        until = time.monotonic() + 60
        while '"state": "finished"' not in (told := self.call("job", job_id=job_id)[1]):
            assert time.monotonic() < until, told
            time.sleep(0.3)
        return str(job_id)

    def uploaded(self, picture: Path) -> str:
        """Path that the server gives an upload."""
        return str(self.client.post("gradio_api/upload", files={"files": picture.open("rb")}).json()[0])


@pytest.fixture(scope="module")
def shared(studio_of: Any) -> Iterator[Any]:
    running = studio_of(WAN_APP_PASSWORD=PASSWORD)
    running.start()
    yield running
    running.stop()
    assert "Traceback" not in running.log(), running.log()


@pytest.fixture(scope="module")
def guests(shared: Any) -> Guests:
    return Guests(Store(shared.data_dir / "keys" / "sharing.sqlite3"))


@pytest.fixture(scope="module")
def person(shared: Any, guests: Guests) -> Iterator[Any]:
    """Makes a guest, or the owner."""
    clients = []

    def come(*, owner: bool = False) -> Person:
        client = httpx.Client(base_url=shared.url, timeout=30)
        clients.append(client)
        if owner:
            assert client.post("login", data={"password": PASSWORD}).status_code == 200
        else:
            assert client.get(f"guest/{guests.create(jobs=50, seconds=500)[1]}").status_code == 303
        return Person(client, shared.url)

    yield come
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def ann(person: Any) -> Person:
    return person()


@pytest.fixture(scope="module")
def ben(person: Any) -> Person:
    return person()


def page_event(someone: Person, name: str) -> tuple[int, list[Any]]:
    """(number, inputs) of the first event of the page whose inputs are the session alone, after its outputs."""
    config = someone.client.get("config").json()
    kinds = {one["id"]: one["type"] for one in config["components"]}
    found = [dep for dep in config["dependencies"] if [kinds[one] for one in dep["inputs"]] == ["browserstate"]
             and any(event == name for _, event in dep["targets"])]
    return found[0]["id"], found[0]["inputs"]


# --- one's own and others' ---------------------------------------------------------------------


def test_a_result_is_for_its_owner_only(ann: Person, ben: Person, person: Any) -> None:
    job_id = ann.made()
    mine = ann.client.get(f"files/{job_id}/any-name.mp4")
    assert mine.status_code == 200 and mine.headers["content-type"] == "video/mp4" and len(mine.content) > 1000
    assert "no-cache" in mine.headers["cache-control"] and "inline" in mine.headers["content-disposition"]
    part = ann.client.get(f"files/{job_id}/x.mp4", headers={"range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == mine.content[10:20]
    assert "attachment" in ann.client.get(f"files/{job_id}/x.mp4?download").headers["content-disposition"]
    for other in (ben, person(owner=True), Person(httpx.Client(base_url=ann.url), ann.url)):
        for path in (f"files/{job_id}/any-name.mp4", f"files/{job_id}/", f"files/{job_id}", f"files/x/../{job_id}/x",
                     f"library/thumb/{job_id}.jpg", f"library/export.zip?job={job_id}"):
            answer = other.client.get(path)
            assert answer.status_code in (401, 404) and mine.content[:200] not in answer.content


def test_no_route_takes_the_job_of_another(ann: Person, ben: Person) -> None:
    job_id = ann.made()
    for name in ("job", "cancel"):
        assert "needed the id of one of your jobs" in ben.call(name, job_id=job_id)[1]
    index, _ = page_event(ben, "tick")
    body = {"fn_index": index, "data": [{"job": job_id}], "session_hash": "ben"}
    told = ben.client.post("gradio_api/run/predict", json=body)
    assert told.status_code == 200 and "No such video" in told.text and "quick" not in told.text
    index, _ = page_event(ben, "click")
    told = ben.client.post("gradio_api/run/predict", json={**body, "fn_index": index})
    assert "/files/" not in told.text and "quick" not in told.text
    assert '"state": "finished"' in ann.call("job", job_id=job_id)[1]


def test_an_upload_is_for_whoever_sent_it(ann: Person, ben: Person, picture: Path) -> None:
    path = ann.uploaded(picture)
    assert ann.client.get(f"gradio_api/file={path}").content == picture.read_bytes()
    for form in (f"gradio_api/file={path}", f"gradio_api/file/{path}", f"gradio_api/file={path}?x", f"file={path}",
                 f"gradio_api/file={path.replace('/', '%2f')}", f"gradio_api/file=/{path}",
                 f"gradio_api/file={Path(path).parent}/../{Path(path).parent.name}/{Path(path).name}"):
        assert ben.client.get(form).status_code == 404
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    refused = ben.client.post("gradio_api/call/v2/image_to_video", json={"prompt": "x", "image": given})
    assert refused.status_code == 400 and "not uploaded by you" in refused.text
    assert "not uploaded" in ben.call("image_to_video", prompt="x", image={"path": path})[1]
    # The same picture, sent by both, has one path.
    assert ben.uploaded(picture) == path and ben.client.get(f"gradio_api/file={path}").status_code == 200


def test_sessions_and_calls_of_another_are_not_listened_to(ann: Person, ben: Person) -> None:
    index, _ = page_event(ann, "tick")
    body = {"fn_index": index, "data": [{"job": None}], "session_hash": "anns-session"}
    assert ann.client.post("gradio_api/run/predict", json=body).status_code == 200
    assert ben.client.post("gradio_api/run/predict", json=body).status_code == 403
    assert ben.client.post("gradio_api/queue/join", json=body).status_code == 403
    for path in ("gradio_api/queue/data?session_hash=anns-session", "gradio_api/heartbeat/anns-session"):
        assert ben.client.get(path).status_code == 404
    event = ann.client.post("gradio_api/call/v2/submit", json={"mode": "text", "prompt": "quick"}).json()["event_id"]
    for path in (f"gradio_api/call/submit/{event}", f"gradio_api/call/v2/job/{event}"):
        assert ben.client.get(path).status_code == 404
    stopped = ben.client.post("gradio_api/cancel", json={"event_id": event, "session_hash": event, "fn_index": 0})
    assert stopped.status_code == 404
    assert "event: complete" in ann.client.get(f"gradio_api/call/submit/{event}", timeout=30).text


def test_guests_manage_nothing(ann: Person, guests: Guests) -> None:
    config, before = ann.client.get("config").json(), [one.id for one in guests.all()]
    labels = {one["id"]: one["props"].get("value") for one in config["components"]}
    for label, inputs in (("Make a guest link", ["Eve", 7, 20, 120, 2]), ("Take back", [before[0]])):
        dep = next(dep for dep in config["dependencies"]
                   if any(labels.get(target) == label for target, _ in dep["targets"]))
        told = ann.client.post("gradio_api/run/predict", json={"fn_index": dep["id"], "data": inputs}).text
        assert "owner of this studio" in told
    assert [one.id for one in guests.all()] == before and guests.get(before[0]).state == "open"
    assert ann.client.get("metrics").status_code == 401


# --- what never works ---------------------------------------------------------------------------


def test_no_address_is_fetched(ann: Person) -> None:
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as trap:
        def listen() -> None:
            while True:
                try:
                    calls.append(trap.accept())
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/x.png"
        meta = {"_type": "gradio.FileData"}
        for image in ({"path": address}, {"path": address, "meta": meta}, {"path": "x", "url": address, "meta": meta},
                      {"url": address, "meta": meta}, address, {"image": {"path": address, "url": address}}):
            for version in ("", "v2/"):
                body = {"prompt": "x", "image": image} if version else {"data": ["x", image] + [None] * 13}
                answer = ann.client.post(f"gradio_api/call/{version}image_to_video", json=body)
                if answer.status_code == 200:
                    event = answer.json()["event_id"]
                    told = ann.client.get(f"gradio_api/call/image_to_video/{event}", timeout=30).text
                    assert told.startswith("event: error"), image
        for path in (f"gradio_api/file={address}", f"gradio_api/proxy={address}", f"gradio_api/file/{address}"):
            assert ann.client.get(path).status_code == 404
        time.sleep(0.5)
    assert calls == []


@pytest.mark.parametrize("path", [
    "gradio_api/file=/etc/passwd", "gradio_api/file=../../etc/passwd", "gradio_api/file=%2e%2e/%2e%2e/etc/passwd",
    "files/../../etc/passwd", "files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "files//etc/passwd", "files/x/../../etc/passwd",
    "static/../../../../etc/passwd", "static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "assets/..%2f..%2f..%2fapp.py",
    "gradio_api/custom_component/x/client/../../x", "monitoring", "gradio_api/dev/reload",
    "gradio_api/component_server", "gradio_api/deep_link",
    "?deep_link=../../x", "gradio_api/vibe-code", "gradio_api/stream/x", "library/../../x",
])
def test_no_path_leads_out(ann: Person, shared: Any, path: str) -> None:
    answer = ann.client.get(path)
    assert "root:" not in answer.text and (answer.status_code in (403, 404, 405) or "<html" in answer.text)
    secret = shared.data_dir / "keys" / "sharing.sqlite3"
    assert ann.client.get(f"gradio_api/file={secret}").status_code == 404


def test_an_upload_is_small_and_a_picture_or_a_sound(ann: Person, tmp_path: Path) -> None:
    liar = tmp_path / "liar.png"
    liar.write_text("I am no picture")
    assert ann.client.post("gradio_api/upload", files={"files": liar.open("rb")}).status_code == 415
    large = {"files": ("x.png", b"\x89PNG\r\n\x1a\n" + b"0" * 41_000_000)}
    assert ann.client.post("gradio_api/upload", files=large, timeout=60).status_code == 413
    with socket.create_connection(("127.0.0.1", httpx.URL(ann.url).port or 0)) as one:
        cookie = "; ".join(f"{name}={value}" for name, value in ann.client.cookies.items())
        one.sendall(f"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n"
                    "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 999999999999\r\n\r\n".encode())
        assert one.recv(100).startswith(b"HTTP/1.1 413")


def test_a_guest_has_quotas(person: Any, guests: Guests, shared: Any) -> None:
    guest, token = guests.create(jobs=1, seconds=30)
    one = Person(httpx.Client(base_url=shared.url, timeout=30), shared.url)
    one.client.get(f"guest/{token}")
    one.made()
    assert "1 videos already made" in one.call("submit", mode="text", prompt="once more")[1]
    assert guests.get(guest.id).used_jobs == 1


def test_what_is_over_is_over(person: Any, guests: Guests, shared: Any) -> None:
    guest, token = guests.create()
    client = httpx.Client(base_url=shared.url)
    client.get(f"guest/{token}")
    assert client.get("config").status_code == 200
    guests.revoke(guest.id)
    assert client.get("config").status_code == 401 and client.get(f"guest/{token}").status_code == 403
    owner = person(owner=True)
    stolen = dict(owner.client.cookies)
    assert owner.client.post("logout").status_code == 303
    assert httpx.get(shared.url + "config", cookies=stolen).status_code == 401


# --- other ways to the same ----------------------------------------------------------------------


def test_gradios_client_signs_in(shared: Any, guests: Guests, picture: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="[Cc]redentials|[Ll]ogin|[Aa]uth"):
        Client(shared.url, verbose=False)
    for auth in (("owner", PASSWORD), ("guest", guests.create()[1])):
        client = Client(shared.url, auth=auth, verbose=False, download_files=str(tmp_path))
        file, result = client.predict(
            prompt="it moves", image=handle_file(str(picture)), num_inference_steps=1, api_name="/image_to_video"
        )
        assert Path(file).stat().st_size > 1000 and result["mode"] == "image"


def test_a_space_gives_everybody_a_place_of_their_own(studio_of: Any, tmp_path: Path) -> None:
    space = studio_of(SPACE_ID="me/studio", SPACE_HOST="me-studio.hf.space")
    space.start()
    try:
        first, second = (Client(space.url, verbose=False, download_files=str(tmp_path)) for _ in range(2))
        job_id = first.predict(mode="text", prompt="quick", num_inference_steps=1, api_name="/submit")
        assert first.predict(job_id=job_id, api_name="/job")["id"] == job_id
        with pytest.raises(Exception, match="one of your jobs"):
            second.predict(job_id=job_id, api_name="/job")
    finally:
        space.stop()


@pytest.mark.parametrize("strips", [True, False])
def test_below_a_sub_path_behind_a_proxy(studio_of: Any, launch_chromium: Any, strips: bool, tmp_path: Path) -> None:
    behind = studio_of(WAN_APP_ROOT_PATH="/studio", WAN_APP_TRUSTED_PROXIES="127.0.0.1", WAN_APP_PASSWORD=PASSWORD)
    behind.start()
    proxy = SubPathProxy(behind.port, "/studio", strips=strips)
    browser = launch_chromium()
    try:
        page = browser.new_page()
        page.goto(proxy.url)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Open the studio").click()
        page.wait_for_selector("button.generate:visible")
        page.wait_for_function("localStorage.getItem('wan-app-session') !== null")
        page.locator(".prompt textarea:visible").first.fill("a fox")
        page.locator("button.generate:visible").click()
        page.wait_for_selector(".card.finished", timeout=60_000)
        page.wait_for_function("() => document.querySelector('.card video')?.currentTime > 0.2")
        assert page.url.startswith(proxy.url)
        client = Client(proxy.url, auth=("owner", PASSWORD), verbose=False, download_files=str(tmp_path))
        file, _ = client.predict(prompt="a fox", num_inference_steps=1, api_name="/text_to_video")
        assert Path(file).stat().st_size > 1000
    finally:
        browser.close()
        proxy.close()
        behind.stop()


def test_a_guest_at_a_phone_until_the_link_is_taken_back(
    shared: Any, guests: Guests, launch_chromium: Any, picture: Path
) -> None:
    guest, token = guests.create(label="Ann", jobs=5, seconds=60)
    browser = launch_chromium()
    try:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(f"{shared.url}guest/{token}")
        page.get_by_text("5 videos, 60 s left").wait_for(timeout=90_000)
        page.wait_for_function("localStorage.getItem('wan-app-session') !== null")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not page.get_by_role("tab", name="Sharing").count()
        page.locator(".prompt textarea:visible").first.fill("a fox")
        page.locator("button.generate:visible").click()
        page.wait_for_selector(".card.finished", timeout=90_000)
        slower = {"status": 429, "headers": {"Retry-After": "3"}, "json": {"error": "Too many requests"}}
        page.route("**/gradio_api/run/**", lambda route: route.fulfill(**slower))
        page.locator("button.generate:visible").click()
        page.get_by_text("Too many requests. Try again in 3 s.").wait_for()
        page.unroute_all()
        guests.revoke(guest.id)
        page.locator("button.generate:visible").click()
        page.get_by_text("This studio is private").wait_for()
    finally:
        browser.close()
