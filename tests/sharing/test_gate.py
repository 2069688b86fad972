"""The gate: who is let in, with what, and what everybody else is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from wan_app.settings import Settings, Sharing
from wan_app.sharing.door import open_door
from wan_app.sharing.gate import WHO, Gate
from wan_app.sharing.metrics import Sample
from wan_app.sharing.network import Network
from wan_app.sharing.store import Store

PASSWORD = "a password of mine"
UPLOAD = "/gradio_api/upload"


class Inside:
    """What the gate stands before; tells who came in."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        headers = [(b"content-type", b"text/plain"), (b"access-control-allow-origin", b"*")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": scope[WHO].owner.encode()})


class House:
    """A gate that a test can knock at."""

    def __init__(self, folder: Path, **given: Any) -> None:
        token = given.pop("metrics_token", None)
        host = given.pop("host", "127.0.0.1")
        settings = Settings(data_dir=folder, host=host, sharing=Sharing(metrics_token=token, **given))
        self.store, self.inside = Store(settings.sharing_file), Inside()
        self.door, self.said = open_door(settings, self.store)
        self.gate = Gate(
            app=self.inside, door=self.door, network=Network(settings), settings=settings, uploads={UPLOAD: 1000},
            health=dict, gauges=lambda: [Sample("wan_app_jobs", 3, {"state": "queued"})],
        )

    def ask(
        self, method: str, path: str, *, cookie: str = "", address: str = "10.0.0.7", **rest: Any
    ) -> httpx.Response:
        """One request, from a browser that remembers nothing."""
        headers = {"host": "127.0.0.1:7860"} | ({"cookie": f"{self.gate.cookie}={cookie}"} if cookie else {})

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.gate, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
                return await client.request(method, path, headers=headers | rest.pop("headers", {}), **rest)

        return asyncio.run(asked())

    def cookie_of(self, answer: httpx.Response) -> str:
        """The session that an answer brings."""
        return answer.headers["set-cookie"].partition("=")[2].partition(";")[0]

    def enter(self) -> str:
        """The owner's session."""
        return self.cookie_of(self.ask("POST", "/login", data={"password": PASSWORD}))


@pytest.fixture
def house(tmp_path: Path, quick: None) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(**given: Any) -> House:
        made.append(House(tmp_path / str(len(made)), **given))
        return made[-1]

    yield build
    for one in made:
        one.store.close()


def test_on_this_computer_alone_it_stands_open(house: Any) -> None:
    assert house().ask("GET", "/").text == "local" and house().said == ""


@pytest.mark.parametrize("given", [{"host": "0.0.0.0"}, {"share": True}, {"host": "192.168.1.5"}, {"host": "::"}])
def test_reachable_by_others_it_makes_a_password_and_tells_it_once(house: Any, given: dict[str, Any]) -> None:
    one = house(**given)
    password = one.said.rpartition(" ")[2]
    assert one.ask("GET", "/").status_code == 401 and one.inside.scopes == []
    assert one.ask("POST", "/login", data={"password": password}).status_code == 200
    hashed = one.store.fact("password")
    assert hashed.startswith("scrypt$") and password not in hashed
    settings = Settings(data_dir=one.store.path.parent.parent, host="0.0.0.0")
    assert password not in open_door(settings, one.store)[1], "it is told once"
    renewed = Settings(data_dir=settings.data_dir, host="0.0.0.0", sharing=Sharing(new_password=True))
    assert open_door(renewed, one.store)[1].rpartition(" ")[2] not in ("", password)
    assert one.ask("POST", "/login", data={"password": password}).status_code == 401


def test_the_page_that_asks_for_it_holds_nothing_else(house: Any) -> None:
    answer = house(password=PASSWORD).ask("GET", "/", headers={"accept": "text/html"})
    assert answer.status_code == 401 and 'type="password"' in answer.text and len(answer.text) < 4000
    assert house(password=PASSWORD).ask("GET", "/config").json()["detail"] == "Not authenticated"


def test_a_session_is_for_the_browser_alone(house: Any) -> None:
    answer = house(password=PASSWORD).ask("POST", "/login", data={"password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie and PASSWORD not in cookie
    behind = house(password=PASSWORD, trusted_proxies=("10.0.0.7",))
    answer = behind.ask("POST", "/login", data={"password": PASSWORD}, headers={"x-forwarded-proto": "https"})
    assert "; Secure" in answer.headers["set-cookie"] and "max-age" in answer.headers["strict-transport-security"]


def test_owner_of_a_new_password_throws_out_the_old_sessions(house: Any) -> None:
    one = house(password=PASSWORD)
    cookie = one.enter()
    assert one.ask("GET", "/", cookie=cookie).text == "local"
    settings = Settings(data_dir=one.store.path.parent.parent, sharing=Sharing(password="another password"))
    open_door(settings, one.store)
    assert one.ask("GET", "/", cookie=cookie).status_code == 401


def test_forged_and_ended_sessions_are_nobody(house: Any) -> None:
    one = house(password=PASSWORD)
    cookie = one.enter()
    changed = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    for forged in (changed, "o.x.9999999999.sig", one.door.sessions.visitor()):
        assert one.ask("GET", "/", cookie=forged).status_code == 401
    assert one.ask("POST", "/logout", cookie=cookie).status_code == 303
    assert one.ask("GET", "/", cookie=cookie).status_code == 401, "a replayed session"


def test_guessing_is_slowed_down_and_told_so(house: Any) -> None:
    one = house(password=PASSWORD)
    answers = [one.ask("POST", "/login", data={"password": f"guess {n}"}) for n in range(8)]
    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert answers[5].status_code == 429 and int(answers[5].headers["retry-after"]) >= 1
    assert one.ask("POST", "/login", data={"password": PASSWORD}).status_code == 429, "not even the right one"
    assert one.ask("POST", "/login", data={"password": PASSWORD}, address="10.0.0.8").status_code == 200


def test_a_guest_link_lets_in_until_it_is_taken_back(house: Any) -> None:
    one = house(password=PASSWORD)
    guest, token = one.door.guests.create(label="Ann")
    answer = one.ask("GET", f"/guest/{token}")
    assert answer.status_code == 303 and answer.headers["location"] == "../"
    cookie = one.cookie_of(answer)
    assert one.ask("GET", "/", cookie=cookie).text == f"guest:{guest.id}"
    assert one.ask("GET", "/metrics", cookie=cookie).status_code == 401
    one.door.guests.revoke(guest.id)
    assert one.ask("GET", "/", cookie=cookie).status_code == 401
    assert one.ask("GET", f"/guest/{token}").status_code == 403


def test_no_link_turns_the_owner_into_a_guest(house: Any) -> None:
    one = house(password=PASSWORD)
    _, token = one.door.guests.create()
    answer = one.ask("GET", f"/guest/{token}", cookie=one.enter())
    assert answer.status_code == 303 and "set-cookie" not in answer.headers


def test_gradios_own_client_signs_in_with_name_and_password(house: Any) -> None:
    one = house(password=PASSWORD)
    guest, token = one.door.guests.create()
    answer = one.ask("POST", "/login", data={"username": "guest", "password": token})
    assert answer.status_code == 200 and one.ask("GET", "/", cookie=one.cookie_of(answer)).text == f"guest:{guest.id}"
    assert one.ask("POST", "/login", data={"username": "owner", "password": token}).status_code == 401


def test_a_space_is_open_and_everybody_has_a_place_of_their_own(house: Any) -> None:
    one = house(host="0.0.0.0", space="me-studio.hf.space")
    first, second = (one.ask("GET", "/") for _ in range(2))
    assert first.text.startswith("visitor:") and first.text != second.text
    again = one.ask("GET", "/", cookie=one.cookie_of(first))
    assert again.text == first.text and "set-cookie" not in again.headers
    assert "SameSite=None; Secure; Partitioned" in first.headers["set-cookie"], "it is shown in a frame"
    assert "huggingface.co" in first.headers["content-security-policy"] and "x-frame-options" not in first.headers
    assert one.ask("GET", "/metrics", cookie=one.cookie_of(first)).status_code == 401


def test_a_space_with_a_password_asks_for_it(house: Any) -> None:
    assert house(host="0.0.0.0", space="me-studio.hf.space", password=PASSWORD).ask("GET", "/").status_code == 401


@pytest.mark.parametrize("headers", [
    {"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"},
    {"origin": "http://127.0.0.1:7861"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    {"origin": "http://127.0.0.1:7860", "host": "evil.example"},
])
@pytest.mark.parametrize("path", ["/", "/login", "/gradio_api/run/predict", UPLOAD, "/logout", "/files/x/y"])
def test_other_pages_reach_nothing(house: Any, headers: dict[str, str], path: str) -> None:
    one = house()
    for method in ("POST", "GET"):
        assert one.ask(method, path, headers=headers).status_code in (403, 421)
    assert one.inside.scopes == []


def test_a_link_from_elsewhere_may_lead_here(house: Any) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert house().ask("GET", "/", headers=headers).status_code == 200
    assert house().ask("POST", "/", headers=headers).status_code == 403


def test_every_answer_is_guarded(house: Any) -> None:
    one = house(password=PASSWORD)
    answers = [one.ask("GET", path, cookie=cookie) for path in ("/", "/login", "/nothing", "/healthz")
               for cookie in ("", one.enter())]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert "access-control-allow-origin" not in answer.headers and "server" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X" * 50])
def test_other_methods_are_not_used(house: Any, method: str) -> None:
    assert house().ask(method, "/").status_code == 405


def test_a_guest_who_asks_too_often_is_told_to_wait(house: Any) -> None:
    one = house(password=PASSWORD)
    _, token = one.door.guests.create()
    cookie = one.cookie_of(one.ask("GET", f"/guest/{token}"))
    answers = [one.ask("POST", "/gradio_api/run/predict", cookie=cookie) for _ in range(90)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and "retry-after" in refused[0].headers and "Too many" in refused[0].text
    assert one.ask("POST", "/x", cookie=one.enter()).status_code == 200, "the owner goes on"


def test_strangers_cannot_keep_the_door_busy(house: Any) -> None:
    one = house(password=PASSWORD)
    codes = {one.ask("GET", f"/guest/{'x' * 32}").status_code for _ in range(40)}
    assert codes == {403, 429}


def test_bodies_have_a_size(house: Any) -> None:
    one = house()
    assert one.ask("POST", UPLOAD, content=b"x" * 1001).status_code == 413
    assert one.ask("POST", "/login", data={"password": "x" * 20_000}).status_code in (303, 413)
    assert one.ask("POST", "/x", content=b"x" * 2_000_001).status_code == 413
    chunked = one.ask("POST", UPLOAD, content=_pieces())
    assert chunked.status_code == 411 and "length" in chunked.text.lower()


async def _pieces() -> Any:
    yield b"x"


def test_health_is_for_everybody_and_numbers_for_few(house: Any) -> None:
    one = house(password=PASSWORD, metrics_token="a token")
    assert one.ask("GET", "/healthz", headers={"host": "10.2.3.4"}).json()["status"] == "ok"
    assert one.ask("GET", "/metrics").status_code == 401
    assert one.ask("GET", "/metrics", headers={"authorization": "Bearer a tokem"}).status_code == 401
    for told in (one.ask("GET", "/metrics", headers={"authorization": "Bearer a token"}),
                 one.ask("GET", "/metrics", cookie=one.enter())):
        assert told.status_code == 200 and 'wan_app_jobs{state="queued"} 3' in told.text
        assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    def broken() -> dict[str, Any]:
        raise OSError("no disk")

    one.gate.health = broken
    assert one.ask("GET", "/healthz").status_code == 503


def test_below_a_sub_path_everything_is_found(house: Any) -> None:
    one = house(root_path="/studio", password=PASSWORD)
    assert one.ask("GET", "/studio").headers["location"] == "/studio/"
    answer = one.ask("POST", "/studio/login", data={"password": PASSWORD})
    assert "Path=/studio;" in answer.headers["set-cookie"]
    cookie = one.cookie_of(answer)
    for path in ("/studio/config", "/config"):
        assert one.ask("GET", path, cookie=cookie).text == "local" and one.inside.scopes[-1]["path"] == "/config"


def test_what_fails_inside_is_one_line(house: Any) -> None:
    one = house()

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("secret path /home/me")

    one.gate.app = failing
    answer = one.ask("GET", "/")
    assert answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
