"""gradio_client and raw POSTs against a real server."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from gradio_client import Client, handle_file

from wan_app.media.probe import probe

PUBLIC = {"/text_to_video", "/image_to_video", "/reference_to_video", "/submit", "/job", "/cancel", "/verify",
          "/models"}


@pytest.fixture(scope="module")
def client(studio: Any, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(studio.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def fails(client: Client, **call: Any) -> str:
    with pytest.raises(Exception) as caught:
        client.predict(**call)
    return str(caught.value)


def test_only_the_public_names_are_listed(client: Client) -> None:
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == PUBLIC


def test_text_to_video_returns_file_and_result(client: Client) -> None:
    file, result = client.predict(
        prompt="a fox", seconds=1, width=160, height=96, seed=5, num_inference_steps=3, api_name="/text_to_video"
    )
    facts = probe(Path(file))
    assert (facts.width, facts.height, facts.num_frames) == (960, 576, 9)
    assert result["seed"] == 5 and result["num_frames"] == 9 and "/" not in result["file"]


def test_image_and_reference_take_uploads(client: Client, picture: Path) -> None:
    face = handle_file(str(picture))
    _, result = client.predict(prompt="it moves", image=face, num_inference_steps=2, api_name="/image_to_video")
    assert result["mode"] == "image"
    for people in ({"faces": [face]}, {"characters": [{"name": "character1", "faces": [face]}]}):
        _, result = client.predict(
            prompt="character1 waves", consent=True, num_inference_steps=2, api_name="/reference_to_video", **people
        )
        assert result["mode"] == "reference"


def test_a_voice_and_sound_go_by_name(client: Client, picture: Path, voice: Path) -> None:
    face, sound = handle_file(str(picture)), handle_file(str(voice))
    file, result = client.predict(
        prompt="character1 waves", faces=[face], voice=sound, say="Hello", soundtrack=sound, soundtrack_mode="mix",
        consent=True, num_inference_steps=2, api_name="/reference_to_video",
    )
    assert probe(Path(file)).audio is not None and result["audio"]["sample_rate"] == 48_000
    assert result["similarity"][0] == {"character": "character1", "identity": 0.83, "timbre": 0.91, "pitch": 0.4}
    people = [{"name": "ann", "faces": [face], "voice": sound}]
    _, result = client.predict(
        prompt="ann waves", characters=people, consent=True, num_inference_steps=2, api_name="/reference_to_video"
    )
    assert result["similarity"][0]["timbre"] == 0.91
    _, result = client.predict(prompt="waves", soundtrack=sound, num_inference_steps=2, api_name="/text_to_video")
    assert result["audio"]["channels"] in (1, 2)


def test_the_voice_alone_is_a_wav(client: Client, voice: Path) -> None:
    file, result = client.predict(
        prompt="", voice=handle_file(str(voice)), say="Hello", sound_only=True, consent=True, num_inference_steps=2,
        api_name="/reference_to_video",
    )
    assert file.endswith(".wav") and soundfile.info(file).duration == pytest.approx(result["seconds"], abs=0.01)
    assert result["width"] == 0


def test_bad_sound_is_named(client: Client, picture: Path, voice: Path) -> None:
    face, sound = handle_file(str(picture)), handle_file(str(voice))
    reference = {"prompt": "x", "faces": [face], "api_name": "/reference_to_video"}
    assert "consent: got no consent" in fails(client, **reference, voice=sound)
    assert "voice: got" in fails(client, **reference, voice=face, consent=True)
    assert "soundtrack: got" in fails(client, prompt="x", soundtrack=face, api_name="/text_to_video")
    assert "soundtrack_mode: got 'loud'" in fails(client, prompt="x", soundtrack_mode="loud", api_name="/text_to_video")
    assert "say: got 601 characters" in fails(client, prompt="x", say="x" * 601, api_name="/text_to_video")


def test_submit_job_cancel(client: Client) -> None:
    job_id = client.predict(mode="text", prompt="for ages now", api_name="/submit")
    assert client.predict(job_id=job_id, api_name="/job")["state"] in ("queued", "running")
    client.predict(job_id=job_id, api_name="/cancel")
    until = time.monotonic() + 60
    while (job := client.predict(job_id=job_id, api_name="/job"))["state"] != "cancelled":
        assert time.monotonic() < until, job
        time.sleep(0.1)


def test_a_finished_job_hands_out_its_file(studio: Any, client: Client) -> None:
    job_id = client.predict(mode="text", prompt="quick", num_inference_steps=1, api_name="/submit")
    until = time.monotonic() + 120
    while (job := client.predict(job_id=job_id, api_name="/job"))["state"] != "finished":
        assert time.monotonic() < until, job
        time.sleep(0.2)
    assert probe(Path(job["file"])).num_frames == 17
    for copies in (studio.data_dir / "outputs" / job_id, *studio.cache.glob("*/quick-*")):
        shutil.rmtree(copies) if copies.is_dir() else copies.unlink()
    assert "which cannot be read" in fails(client, job_id=job_id, api_name="/job")


def test_models_say_what_is_here(client: Client) -> None:
    rows = client.predict(api_name="/models")
    assert rows[0]["id"] == "pocket" and rows[0]["available"] is True
    assert any(not row["available"] and row["reason"] for row in rows)


@pytest.mark.parametrize(("given", "says"), [
    ({"prompt": ""}, "prompt: got nothing"),
    ({"prompt": "x" * 20_000}, "prompt: got 20000 characters"),
    ({"prompt": "a\u202eb"}, "prompt: got the control character U+202E"),
    ({"prompt": "x", "seconds": 0}, "seconds: got 0"),
    ({"prompt": "x", "seconds": 1e9}, "seconds: got "),
    ({"prompt": "x", "seconds": "two"}, "seconds: got 'two'"),
    ({"prompt": "x", "width": 127, "height": 128}, "size: got 127x128"),
    ({"prompt": "x", "width": -128, "height": 128}, "width: got -128"),
    ({"prompt": "x", "seed": -1}, "seed: got -1"),
    ({"prompt": "x", "seed": 2**70}, "seed: got "),
    ({"prompt": "x", "model": "nope"}, "model: got 'nope'"),
    ({"prompt": "x", "guidance_scale": 1e9}, "guidance_scale: got "),
    ({"prompt": "x", "model": "wan2.1-vace-1.3b"}, "Wan-AI/"),
])
def test_bad_input_is_named_in_one_line(client: Client, given: dict[str, Any], says: str) -> None:
    said = fails(client, api_name="/text_to_video", **given)
    assert says in said and "\n" not in said and "Traceback" not in said


def test_no_consent_and_no_face_are_named(client: Client, picture: Path) -> None:
    face = handle_file(str(picture))
    assert "consent: got no consent" in fails(client, prompt="x", faces=[face], api_name="/reference_to_video")
    assert "face: got no picture" in fails(client, prompt="x", consent=True, api_name="/reference_to_video")


def test_emoji_and_right_to_left_are_words_like_others(client: Client) -> None:
    file, _ = client.predict(prompt="🦊 ثعلب في الثلج", num_inference_steps=1, api_name="/text_to_video")
    assert Path(file).stat().st_size > 0


# --- without any client ----------------------------------------------------------------------


def generate_event(studio: Any, mode: str) -> tuple[int, list[dict[str, Any]]]:
    """(fn_index, input components) of a tab's Generate, from the page's own config."""
    config = httpx.get(studio.url + "config").json()
    components = {one["id"]: one for one in config["components"]}
    found = [
        dep for dep in config["dependencies"]
        if dep["backend_fn"] and len(dep["inputs"]) > 8 and any(event == "click" for _, event in dep["targets"])
    ]
    dep = found[("text", "image", "reference").index(mode)]
    return dep["id"], [components[one] for one in dep["inputs"]]


def press(studio: Any, mode: str, **given: Any) -> str:
    """POST a Generate as a browser without a page would; the card that comes back."""
    index, inputs = generate_event(studio, mode)
    values = [
        given.get(one["props"].get("label") or "session", one["props"].get("value")) for one in inputs
    ]
    answer = httpx.post(
        studio.url + "gradio_api/run/predict", json={"fn_index": index, "data": values, "session_hash": "raw"}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"])


@pytest.mark.parametrize(("given", "field"), [
    ({"Prompt": ""}, "prompt"), ({"Prompt": None}, "prompt"), ({"Prompt": ["x"]}, "prompt"),
    ({"Prompt": "x" * 20_000}, "prompt"),
    ({"Prompt": "x", "Length (seconds)": 1e9}, "seconds"), ({"Prompt": "x", "Length (seconds)": "2"}, "seconds"),
    ({"Prompt": "x", "Shape": "0x0"}, "width"), ({"Prompt": "x", "Shape": "30000x30000"}, "width"),
    ({"Prompt": "x", "Shape": {}}, "size"), ({"Prompt": "x", "Seed": -5, "New seed each time": False}, "seed"),
    ({"Prompt": "x", "Inference steps": 10_000}, "num_inference_steps"),
    ({"Prompt": "x", "Guidance scale": True}, "guidance_scale"),
    ({"Prompt": "x", "Model": "nope"}, "model"), ({"Prompt": "x", "Model": ["pocket"]}, "model"),
])
def test_a_raw_post_meets_the_same_checks(studio: Any, given: dict[str, Any], field: str) -> None:
    assert f'data-field="{field}"' in press(studio, "text", **given)


@pytest.mark.parametrize("junk", ["hello", 5, [1], {"a": 1}, [{"image": "x"}], {"path": "/etc/passwd"}])
def test_junk_for_a_picture_meets_them_too(studio: Any, junk: object) -> None:
    slot = "Face pictures of character1"
    for mode, label, field in (("image", "First picture", "image"), ("reference", slot, "face")):
        assert f'data-field="{field}"' in press(studio, mode, **{"Prompt": "x", label: junk})
    for label, field in (("Voice of character1", "voice"), ("Soundtrack", "soundtrack")):
        assert f'data-field="{field}"' in press(studio, "reference", **{"Prompt": "x", label: junk})


def test_a_raw_post_cannot_skip_consent(studio: Any, picture: Path) -> None:
    upload = httpx.post(
        studio.url + "gradio_api/upload", files={"files": ("face.png", picture.read_bytes(), "image/png")}
    ).json()[0]
    faces = [{"image": {"path": upload, "meta": {"_type": "gradio.FileData"}}, "caption": None}]
    for consent in (None, "yes", 1):
        given = {"Prompt": "x", "Face pictures of character1": faces}
        label = next(
            one["props"]["label"] for one in generate_event(studio, "reference")[1]
            if one["type"] == "checkbox" and one["props"]["label"].startswith("I am")
        )
        assert 'data-field="consent"' in press(studio, "reference", **given, **{label: consent})


def image_call(studio: Any, picture: Any) -> list[Any]:
    """The arguments of `/image_to_video` in order: a prompt, a picture, and nothing for all the others."""
    info = httpx.get(studio.url + "gradio_api/info").json()["named_endpoints"]["/image_to_video"]
    return ["x", picture] + [None] * (len(info["parameters"]) - 2)


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "../../../etc/passwd"])
@pytest.mark.parametrize("meta", [True, False])
def test_a_path_of_the_server_is_never_read(studio: Any, path: str, meta: bool) -> None:
    given = {"path": path} | ({"meta": {"_type": "gradio.FileData"}} if meta else {})
    answer = httpx.post(
        studio.url + "gradio_api/call/image_to_video", json={"data": image_call(studio, given)}
    )
    if meta:
        assert answer.status_code == 400 and "not uploaded by you" in answer.text
        return
    event = answer.json()["event_id"]
    told = httpx.get(studio.url + f"gradio_api/call/image_to_video/{event}", timeout=30).text
    assert told.startswith("event: error") and "root:" not in told


def test_even_a_good_picture_of_the_server_is_refused(studio: Any, picture: Path) -> None:
    """Not for being no picture: the files above would be refused for that, too."""
    said = press(studio, "image", **{"Prompt": "x", "First picture": {"path": str(picture)}})
    assert 'data-field="image"' in said and "not uploaded" in said
    given = {"path": str(picture), "meta": {"_type": "gradio.FileData"}}
    answer = httpx.post(studio.url + "gradio_api/call/image_to_video", json={"data": image_call(studio, given)})
    assert answer.status_code == 400 and "not uploaded by you" in answer.text


def test_files_of_the_studio_are_not_served(studio: Any) -> None:
    for path in (studio.data_dir / "ledger.sqlite3", Path("/etc/passwd"), Path(__file__)):
        assert httpx.get(studio.url + f"gradio_api/file={path}").status_code in (403, 404)


def test_every_answer_forbids_going_elsewhere(studio: Any) -> None:
    headers = httpx.get(studio.url).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_restart_forgets_nothing(studio: Any, client: Client) -> None:
    job_id = client.predict(mode="text", prompt="before the restart", num_inference_steps=1, api_name="/submit")
    until = time.monotonic() + 120
    while (job := client.predict(job_id=job_id, api_name="/job"))["state"] != "finished":
        assert time.monotonic() < until, job
        time.sleep(0.2)
    studio.stop()
    studio.start()
    again = Client(studio.url, verbose=False)
    assert again.predict(job_id=job_id, api_name="/job")["state"] == "finished"
