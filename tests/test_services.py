"""Services as the page and the API use it: the real queue and worker process, the fake model."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests import fakes
from tests.marking import same_but_for_marks
from wan_app import services as services_module
from wan_app.consent.ledger import STATEMENT, ConsentLedger, public
from wan_app.errors import InvalidRequest, JobNotFound, ModelUnavailable, StorageError
from wan_app.families import registry
from wan_app.families.weights import licences
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import Cancelled, Character, Failed, Finished, GenerationRequest, Loading, Queued

TEXT = GenerationRequest(mode="text", prompt="a cat in the park", num_inference_steps=2, seconds=0.6, seed=3)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", device="cpu")


@pytest.fixture
def worker():
    return fakes.ScriptedWorker()


@pytest.fixture
def services(settings, worker, monkeypatch):
    """With weights always here and a worker without a process."""
    monkeypatch.setattr(services_module.weights, "locate", lambda *_: None)
    one = Services(settings, worker=worker)
    yield one
    one.close()


@pytest.fixture
def face(tmp_path):
    path = tmp_path / "face.png"
    Image.new("RGB", (64, 64), (200, 150, 120)).save(path)
    return path


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def reference(face, **changes):
    people = (Character(name="character1", faces=(face,)),)
    return replace(TEXT, mode="reference", characters=people, consent=True, **changes)


def test_a_submitted_request_has_every_default_filled_in(services):
    job = services.job(services.submit(replace(TEXT, seed=None)))
    request = job.request
    assert request.model == job.model == "pocket" and request.seed is not None
    assert None not in (request.width, request.height, request.num_frames, request.guidance_scale)


@pytest.mark.parametrize("change, field", [
    ({"prompt": "  "}, "prompt"), ({"model": "nope"}, "model"), ({"mode": "dance"}, "mode"),
    ({"seconds": float("nan")}, "seconds"), ({"width": 0, "height": 0}, "width"), ({"seed": -1}, "seed"),
    ({"mode": "image"}, "image"),
])
def test_a_bad_request_queues_nothing(services, change, field):
    with pytest.raises(InvalidRequest) as caught:
        services.submit(replace(TEXT, **change))
    assert caught.value.field == field and services.jobs() == []


@pytest.mark.parametrize("consent", [False, None, "yes", 1])
def test_reference_needs_consent_and_keeps_no_face_without_it(services, face, settings, consent):
    with pytest.raises(InvalidRequest, match="^consent: got no consent"):
        services.submit(replace(reference(face), consent=consent))
    assert services.jobs() == [] and not settings.inputs_dir.exists()


@pytest.mark.parametrize("mode", ["text", "image"])
@pytest.mark.parametrize("consent", [False, True])
def test_no_other_mode_takes_a_face(services, face, settings, mode, consent):
    image = face if mode == "image" else None
    with pytest.raises(InvalidRequest, match="^face: got a picture for mode"):
        services.submit(replace(reference(face), mode=mode, image=image, consent=consent))
    assert services.jobs() == [] and not settings.inputs_dir.exists()


def test_pictures_are_kept_and_the_originals_may_go(services, face, settings):
    job = services.job(services.submit(reference(face)))
    kept = job.request.characters[0].faces[0]
    face.unlink()
    assert kept.parent == settings.inputs_dir and Image.open(kept).size == (64, 64)


def test_a_picture_that_is_none_is_refused_by_field(services, tmp_path):
    text = tmp_path / "picture.png"
    text.write_text("not a picture")
    with pytest.raises(InvalidRequest) as caught:
        services.submit(replace(TEXT, mode="image", image=text))
    assert caught.value.field == "image" and services.jobs() == []


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """Four seconds of something like a voice, with a second of silence behind."""
    path = tmp_path_factory.mktemp("sounds") / "voice.wav"
    syllables = np.sin(np.pi * np.arange(4 * 16000) / 4000) ** 2
    samples = np.concatenate([fakes.tone(150, 4, 16000) * syllables, np.zeros(16000)])
    soundfile.write(path, samples, 16000)
    return path


def speaking(face, voice, **changes):
    people = (Character(name="character1", faces=(face,) if face else (), voice=voice),)
    return replace(reference(face), **{"characters": people, "say": "hello there", **changes})


SILENT = replace(registry.get("pocket"), native_audio=False)


@pytest.fixture
def silent(services, monkeypatch):
    """Studio and bundled model without sound of its own, and without a speech model."""
    monkeypatch.setattr(services_module.registry, "get", lambda _: SILENT)
    return services


@pytest.fixture
def with_speech(silent, monkeypatch):
    monkeypatch.setattr(services_module.speech_weights, "locate", lambda *_: ())
    return silent


@pytest.mark.parametrize("change", [{}, {"say": "", "prompt": 'character1 says "Hello"'}, {"sound_only": True},
                                    {"mode": "text", "characters": ()}])
def test_speech_without_a_speech_model_is_said_at_once(silent, face, voice, settings, change):
    said = "^pocket-tts: .*eustlb/pocket-tts.*CC-BY-4.0.*WAN_APP_WEIGHTS_DIR"
    with pytest.raises(ModelUnavailable, match=said) as caught:
        silent.submit(speaking(face, voice, **change))
    assert "\n" not in str(caught.value)
    assert silent.jobs() == [] and not settings.inputs_dir.exists()


@pytest.mark.parametrize("change", [
    {"characters": (), "mode": "text", "say": "", "prompt": 'a man says "Hello"'},
    {"say": "", "characters": (Character(name="character1", faces=()),)},
])
def test_words_in_quotes_alone_need_no_speech_model(silent, face, change):
    if change.get("characters"):
        change = {**change, "characters": (Character(name="character1", faces=(face,)),)}
    assert silent.submit(speaking(face, None, **change))


@pytest.mark.parametrize("change, field", [
    ({"say": ""}, "say"), ({"say": "  "}, "say"), ({"say": 7}, "say"), ({"say": "x" * 601}, "say"),
    ({"say": "a\x00b"}, "say"), ({"say": "", "sound_only": True}, "say"), ({"sound_only": "yes"}, "sound_only"),
    ({"soundtrack_mode": "loud"}, "soundtrack_mode"), ({"soundtrack_mode": None}, "soundtrack_mode"),
    ({"mode": "text"}, "face"), ({"consent": False}, "consent"),
])
def test_a_bad_request_for_speech_queues_nothing(with_speech, face, voice, settings, change, field):
    with pytest.raises(InvalidRequest) as caught:
        with_speech.submit(speaking(face, voice, **change))
    assert caught.value.field == field
    assert with_speech.jobs() == [] and not settings.inputs_dir.exists()


def test_a_voice_alone_is_a_reference_and_needs_consent_too(with_speech, voice):
    with pytest.raises(InvalidRequest, match="^consent: got no consent.*shown or heard"):
        with_speech.submit(speaking(None, voice, consent=False))
    assert with_speech.submit(speaking(None, voice))
    with pytest.raises(InvalidRequest, match="^voice: got a voice for mode text"):
        with_speech.submit(speaking(None, voice, mode="text"))


def test_voices_and_soundtracks_are_kept_and_what_was_mended_is_told(with_speech, worker, face, voice, settings):
    given = shutil.copy(voice, voice.with_name("copy.mp3"))
    job = with_speech.job(with_speech.submit(speaking(face, Path(given), soundtrack=voice)))
    os.remove(given)
    kept = job.request.characters[0].voice
    assert kept.parent == job.request.soundtrack.parent == settings.inputs_dir
    assert soundfile.info(kept).samplerate == 16000 and soundfile.info(job.request.soundtrack).samplerate == 48000
    assert job.notes == (
        "Voice of character1: its name says otherwise, but it holds WAV sound",
        "Voice of character1: cut 0.9 s of silence from its ends",
    )


@pytest.mark.parametrize("name, field", [("voice", "voice"), ("soundtrack", "soundtrack")])
def test_a_sound_that_is_none_is_refused_by_field(with_speech, face, voice, tmp_path, name, field):
    text = tmp_path / "words.wav"
    text.write_text("not a sound")
    request = speaking(face, text) if name == "voice" else speaking(face, voice, soundtrack=text)
    with pytest.raises(InvalidRequest) as caught:
        with_speech.submit(request)
    assert caught.value.field == field and with_speech.jobs() == []


def test_sound_alone_is_a_wav_file(with_speech, face, voice, tmp_path):
    job = with_speech.job(with_speech.submit(speaking(face, voice, sound_only=True, soundtrack=voice)))
    assert job.out.suffix == ".wav" and job.request.soundtrack is None
    with pytest.raises(InvalidRequest, match=r"^out: got clip.WAV for a video; needed a name that ends in .mp4"):
        with_speech.submit(TEXT, out=tmp_path / "clip.WAV")
    with pytest.raises(InvalidRequest, match=r"^out: got clip.mp4 for sound alone; needed a name that ends in .wav"):
        with_speech.submit(speaking(face, voice, sound_only=True), out=tmp_path / "clip.mp4")


def test_sound_alone_needs_no_weights_of_a_silent_model(with_speech, voice, monkeypatch):
    def missing(*_):
        raise ModelUnavailable("not here")

    monkeypatch.setattr(services_module.weights, "locate", missing)
    assert with_speech.submit(speaking(None, voice, sound_only=True, prompt=""))
    with pytest.raises(ModelUnavailable, match="not here"):
        with_speech.submit(speaking(None, voice))


# --- Consent ---------------------------------------------------------------------------------


def record_of(settings):
    return ConsentLedger(settings.consent_file)


def test_a_reference_run_is_recorded_before_it_is_queued(services, face, settings):
    job = services.job(services.submit(reference(face), owner="a visitor's secret"), owner="a visitor's secret")
    [kept] = job.request.characters[0].faces
    record = record_of(settings).find(job.request.consent_id)
    assert record["people"] == [{"name": "character1", "faces": [kept.stem], "voice": None}]
    assert record["owner"] == public("a visitor's secret") and record["statement"] == STATEMENT
    text = services.job(services.submit(replace(TEXT, consent=True, consent_id="made up")))
    assert text.request.consent_id is None and record_of(settings).verify() == 1


def test_a_withdrawn_face_is_refused_and_not_kept(services, face, settings):
    first = services.job(services.submit(reference(face)))
    services.withdraw_consent(first.request.consent_id)
    with pytest.raises(InvalidRequest, match="^consent"):
        services.duplicate(first.id)
    first.request.characters[0].faces[0].unlink()
    with pytest.raises(InvalidRequest, match="^consent: got character1, for whose picture the consent was withdrawn"):
        services.submit(reference(face))
    assert len(services.jobs()) == 1 and list(settings.inputs_dir.iterdir()) == []
    services.renew_consent(services.consents()[0].id, STATEMENT)
    assert services.submit(reference(face))


def test_owners_see_their_own_statements_and_the_keeper_all(services, face):
    job = services.job(services.submit(reference(face), owner="anna's secret"), owner="anna's secret")
    assert services.consents(owner="ben's secret") == []
    assert [one.id for one in services.consents()] == [job.request.consent_id]
    with pytest.raises(InvalidRequest, match="^id"):
        services.withdraw_consent(job.request.consent_id, owner="ben's secret")
    services.withdraw_consent(job.request.consent_id, owner="anna's secret")
    assert services.consents(owner="anna's secret")[0].state == "withdrawn"


def test_a_changed_record_of_consent_is_told_and_stops_reference_runs_only(services, face, settings):
    services.submit(reference(face))
    settings.consent_file.write_bytes(settings.consent_file.read_bytes().replace(b"character1", b"characterX"))
    other = Services(settings, worker=fakes.ScriptedWorker())
    with pytest.raises(StorageError, match="^consent: got a record of consent that was changed by other hands"):
        other.submit(reference(face))
    assert other.submit(TEXT)
    other.close()


def test_what_the_list_refuses_is_not_queued_unless_it_is_off(services, face, settings, worker):
    for request in (reference(face, prompt="character1 naked"), replace(TEXT, prompt="a naked child")):
        with pytest.raises(InvalidRequest, match='^prompt: got sexual words \\("naked"\\)'):
            services.submit(request)
    assert services.jobs() == [] and not settings.inputs_dir.exists() and not settings.consent_file.exists()
    assert services.submit(replace(TEXT, negative_prompt="naked child"))
    free = Services(replace(settings, refuse=False), worker=worker)
    assert free.submit(reference(face, prompt="character1 naked, a statue"))
    free.close()


@pytest.mark.parametrize("setting, owner, label", [
    ("off", "local", "off"), ("start", "local", "start"), ("off", "guest", "corner"), ("start", "guest", "start"),
])
def test_the_label_is_the_settings_and_forced_on_guests(services, settings, worker, setting, owner, label):
    one = Services(replace(settings, label=setting), worker=worker)
    if owner == "guest":
        owner = f"guest:{one.guests.create()[0].id}"
    job = one.job(one.submit(replace(TEXT, label="off" if label != "off" else "start"), owner=owner), owner=owner)
    assert job.request.label == label
    one.close()


@pytest.mark.parametrize("wrong", ["voice", "soundtrack", "last_image"])
def test_nothing_is_kept_of_a_request_whose_last_input_is_wrong(with_speech, face, voice, tmp_path, settings, wrong):
    text = tmp_path / "words.txt"
    text.write_text("neither picture nor sound")
    requests = {
        "voice": speaking(face, text), "soundtrack": speaking(face, voice, soundtrack=text),
        "last_image": replace(TEXT, mode="image", image=face, last_image=text),
    }
    with pytest.raises(InvalidRequest):
        with_speech.submit(requests[wrong])
    assert with_speech.jobs() == [] and not settings.inputs_dir.exists() and not settings.consent_file.exists()


def test_nothing_is_kept_where_the_job_cannot_be_written(services, face, settings, monkeypatch):
    def full(*_):
        raise StorageError("data_dir", "a full disk", "space")

    monkeypatch.setattr(services._queue, "submit", full)
    with pytest.raises(StorageError):
        services.submit(reference(face))
    assert list(settings.inputs_dir.iterdir()) == []


def test_missing_weights_are_said_at_once(settings, worker, face):
    one = Services(settings, worker=worker)
    with pytest.raises(ModelUnavailable, match="VACE"):
        one.submit(replace(reference(face), model="wan2.1-vace-1.3b", seconds=None))
    assert one.jobs() == [] and not settings.inputs_dir.exists()
    one.close()


def test_an_output_that_cannot_be_written_is_refused_first(services, tmp_path):
    with pytest.raises(StorageError, match="^out"):
        services.submit(replace(TEXT, prompt=""), out=tmp_path / "no" / "clip.mp4")


def test_jobs_are_their_owners_only(services):
    job_id = services.submit(TEXT, owner="anna")
    assert services.job(job_id, owner="anna").owner == "anna"
    for call in (services.job, services.cancel, services.watch):
        with pytest.raises(JobNotFound):
            call(job_id, owner="ben")
    for nonsense in ("", "x" * 500, None, 7):
        with pytest.raises(JobNotFound):
            services.job(nonsense, owner="anna")
    assert [one.id for one in services.jobs(owner="anna")] == [job_id]
    assert services.jobs(owner="ben") == [] and len(services.jobs()) == 1


def test_submit_cancel_watch(services, worker):
    running = services.submit(replace(TEXT, prompt="wait"))
    waiting = services.submit(TEXT)
    events = services.watch(running)
    assert isinstance(next(events), Queued) and isinstance(next(events), Loading)
    assert services.cancel(waiting).state == "cancelled"
    services.cancel(running)
    assert list(events) == [Cancelled()]
    assert services.cancel(running).state == "cancelled"  # after the end: nothing happens


def test_models_say_what_is_here(services, settings):
    rows = services.models()
    assert rows[0]["id"] == "pocket" and rows[0]["available"] and rows[0]["reason"] is None
    assert {"family", "tasks", "licence", "memory", "fps", "frame_grid", "native_audio",
            "max_reference_images", "max_voices"} <= set(rows[0])


def test_models_say_why_they_are_not(settings, worker):
    one = Services(settings, worker=worker)
    row = {row["id"]: row for row in one.models()}["wan2.1-vace-1.3b"]
    assert not row["available"] and "Wan-AI/Wan2.1-VACE-1.3B-diffusers" in row["reason"]
    one.close()


# --- Restarts --------------------------------------------------------------------------------


def test_jobs_of_a_dead_server_fail_with_the_reason(settings, services, worker):
    job_id = services.submit(replace(TEXT, prompt="wait"))
    events = services.watch(job_id)
    next(events), next(events)
    out = services.job(job_id).out
    out.parent.mkdir(parents=True)
    services._lifeline._file.close()  # what the system does when the process is gone
    after = Services(settings, worker=fakes.ScriptedWorker())
    row = after.job(job_id)
    assert (row.state, row.error_kind) == ("failed", "WorkerDied")
    assert row.error == "The studio stopped while this job was running; send it again"
    assert not out.parent.exists()
    after.close()
    worker.go_on.set()


def test_a_restart_clears_what_a_dead_server_left_beside_the_users_file(settings, services, worker, tmp_path):
    job_id = services.submit(replace(TEXT, prompt="wait"), out=tmp_path / "clip.mp4")
    for name in (f".{job_id}.part", f".{job_id}.f32", ".other.part"):
        (tmp_path / name).write_bytes(b"half a video")
    services._lifeline._file.close()  # what the system does when the process is gone
    Services(settings, worker=fakes.ScriptedWorker()).close()
    assert {one.name for one in tmp_path.iterdir()} == {"data", ".other.part"}
    worker.go_on.set()


def test_jobs_of_a_living_server_are_left_alone_and_can_be_watched(settings, services, worker):
    job_id = services.submit(replace(TEXT, prompt="wait"))
    other = Services(settings, worker=fakes.ScriptedWorker())
    assert other.job(job_id).state in ("queued", "running")
    worker.go_on.set()
    assert isinstance(list(other.watch(job_id))[-1], Finished)
    other.close()


def test_a_job_running_in_another_process_cannot_be_cancelled_from_here(settings, services, worker):
    job_id = services.submit(replace(TEXT, prompt="wait"))
    other = Services(settings, worker=fakes.ScriptedWorker())
    with pytest.raises(InvalidRequest, match="another process"):
        other.cancel(job_id)
    worker.go_on.set()
    other.close()


def test_kill_right_after_submit_keeps_the_row(settings):
    program = (
        "import os, signal, sys, pathlib; from tests import fakes; fakes.install();"
        "from wan_app.services import Services; from wan_app.settings import Settings;"
        "from wan_app.types import GenerationRequest;"
        "one = Services(Settings(data_dir=pathlib.Path(sys.argv[1]), device='cpu'));"
        "print(one.submit(GenerationRequest(mode='text', prompt='a cat')), flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(settings.data_dir)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    after = Services(settings, worker=fakes.ScriptedWorker())
    row = after.job(done.stdout.strip())
    assert row.state == "failed" and "send it again" in row.error and row.request.prompt == "a cat"
    after.close()


def test_a_studio_goes_on_with_the_jobs_of_one_that_was_killed(settings, worker, monkeypatch):
    monkeypatch.setattr(services_module.weights, "locate", lambda *_: None)
    before = Services(settings, worker=worker, lasting=True)
    running, waiting = (before.submit(replace(TEXT, prompt=prompt)) for prompt in ("wait", "later"))
    until(lambda: before.job(running).state == "running")
    before._lifeline._file.close()  # what the system does when the process is gone
    listing = Services(settings, worker=fakes.ScriptedWorker())  # as `jobs` on the command line
    assert [job.state for job in listing.jobs()] == ["running", "queued"]
    listing.close()
    helper = fakes.ScriptedWorker()
    helper.go_on.set()
    after = Services(settings, worker=helper, lasting=True)
    assert isinstance(list(after.watch(waiting))[-1], Finished)
    assert helper.ran == ["wait", "later"] and after.job(running).state == "finished"
    after.close()
    worker.go_on.set()
    before.close()


# --- The queue -------------------------------------------------------------------------------


@pytest.fixture
def queued(services):
    """Ids of one job that runs, and two that wait: of anna, anna and ben."""
    ids = [services.submit(replace(TEXT, prompt=prompt), owner=owner)
           for prompt, owner in (("wait", "anna"), ("a1", "anna"), ("a2", "anna"), ("b1", "ben"))]
    until(lambda: services.job(ids[0], owner="anna").state == "running")
    return ids


def test_waiting_jobs_are_moved_by_their_owner_only(services, queued, worker):
    assert [job.id for job in services.living()] == [queued[0], queued[1], queued[3], queued[2]]
    assert services.move(queued[2], "front", owner="anna").event.position == 1
    assert [job.id for job in services.living(owner="anna")] == [queued[0], queued[2], queued[1]]
    with pytest.raises(JobNotFound):
        services.move(queued[2], "front", owner="ben")
    for job_id, to, field in ((queued[0], "front", "job"), (queued[1], "sideways", "to"), (queued[1], None, "to")):
        with pytest.raises(InvalidRequest) as caught:
            services.move(job_id, to, owner="anna")
        assert caught.value.field == field
    worker.go_on.set()


def test_a_duplicate_is_the_same_request_with_a_seed_of_its_own(services, queued, worker):
    copy = services.job(services.duplicate(queued[1], owner="anna"), owner="anna")
    first = services.job(queued[1], owner="anna").request
    assert copy.request.seed != first.seed and replace(copy.request, seed=first.seed) == first
    with pytest.raises(JobNotFound):
        services.duplicate(queued[1], owner="ben")
    worker.go_on.set()


def test_removing_a_waiting_job_forgets_it(services, queued, worker):
    services.remove(queued[1], owner="anna")
    with pytest.raises(JobNotFound):
        services.job(queued[1], owner="anna")
    with pytest.raises(InvalidRequest, match="which is running; needed a cancel first"):
        services.remove(queued[0], owner="anna")
    with pytest.raises(JobNotFound):
        services.remove(queued[2], owner="ben")
    worker.go_on.set()
    list(services.watch(queued[2], owner="anna"))
    assert "a1" not in worker.ran


def test_removing_an_ended_job_deletes_what_was_made_but_not_the_users_own_file(services, tmp_path, settings):
    own, named = services.submit(TEXT), services.submit(TEXT, out=tmp_path / "mine.mp4")
    for job_id in (own, named):
        list(services.watch(job_id))
        out = services.job(job_id).out
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(b"a video")
        (settings.logs_dir / f"{job_id}.log").parent.mkdir(exist_ok=True)
        (settings.logs_dir / f"{job_id}.log").write_text("a traceback")
    for job_id in (own, named):
        services.remove(job_id)
    assert services.jobs() == [] and list(settings.outputs_dir.iterdir()) == []
    assert (tmp_path / "mine.mp4").exists() and not list(settings.logs_dir.glob("*-*.log"))


def test_a_job_of_another_process_is_neither_moved_nor_removed(settings, services, worker):
    job_id = services.submit(replace(TEXT, prompt="wait"))
    other = Services(settings, worker=fakes.ScriptedWorker())
    with pytest.raises(InvalidRequest, match="another process's"):
        other.move(job_id, "front")
    with pytest.raises(InvalidRequest, match="another process's"):
        other.remove(job_id)
    worker.go_on.set()
    other.close()


# --- With the real worker process ------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services_module, "RECIPE", fakes.RECIPE)
        patch.setattr(services_module.weights, "locate", lambda *_: None)
        one = Services(Settings(data_dir=tmp_path_factory.mktemp("whole"), device="cpu"))
        yield one
        one.close()


def test_from_request_to_file_and_back_to_the_request(whole, face):
    job_id = whole.submit(reference(face))
    assert isinstance(list(whole.watch(job_id))[-1], Finished)
    job = whole.job(job_id)
    result = job.result
    assert result.consent_id and result.consent_id == job.request.consent_id
    assert job.file.stat().st_size > 1000 and result.seed == 3 and result.num_frames == job.request.num_frames
    assert (result.width, result.height) == (512, 512)
    assert whole.request_of(job.file) == job.request
    # Nothing in the file tells where its maker keeps things.
    assert os.fsencode(str(whole.settings.data_dir)) not in job.file.read_bytes()


def test_a_withdrawal_stops_a_job_that_waits_before_its_model_runs(whole, face):
    Image.new("RGB", (64, 64), (10, 90, 120)).save(face)
    first = whole.submit(replace(TEXT, prompt="hang in denoising"))
    waiting = whole.submit(reference(face))
    whole.withdraw_consent(whole.job(waiting).request.consent_id)
    whole.cancel(first)
    failed = list(whole.watch(waiting))[-1]
    assert (failed.kind, failed.exit_code) == ("InvalidRequest", 2) and "consent was withdrawn" in failed.error
    assert not whole.job(waiting).out.exists()


def test_a_repeated_request_makes_the_same_video(whole, tmp_path):
    first = whole.submit(TEXT)
    list(whole.watch(first))
    again = whole.submit(whole.request_of(whole.job(first).file), out=tmp_path / "again.mp4")
    list(whole.watch(again))
    assert same_but_for_marks(tmp_path / "again.mp4", whole.job(first).file)


def test_a_file_without_a_request_is_refused(whole, tmp_path):
    (tmp_path / "other.mp4").write_bytes(b"nothing")
    with pytest.raises(InvalidRequest, match="^from"):
        whole.request_of(tmp_path / "other.mp4")


@pytest.mark.parametrize("prompt, kind, exit_code", [
    ("crash in encoding", "WorkerDied", 1), ("memory in denoising", "OutOfMemory", 4),
    ("unavailable in encoding", "ModelUnavailable", 3), ("boom in decoding", "WanAppError", 1),
])
def test_a_failing_job_says_so_and_the_next_one_works(whole, prompt, kind, exit_code):
    bad, good = whole.submit(replace(TEXT, prompt=prompt)), whole.submit(TEXT)
    failed = list(whole.watch(bad))[-1]
    assert isinstance(failed, Failed) and (failed.kind, failed.exit_code) == (kind, exit_code)
    assert "\n" not in failed.error
    assert isinstance(list(whole.watch(good))[-1], Finished)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_worker_killed_while_it_writes_leaves_nothing_beside_the_users_file(whole, tmp_path):
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"the last one")
    (tmp_path / ".other.part").write_bytes(b"another program's")
    job_id = whole.submit(replace(TEXT, prompt="stall in writing"), out=out)
    part = tmp_path / f".{job_id}.part"
    killed = set()
    while len(killed) < 2:  # it is tried once more
        until(lambda: part.exists() and whole._worker.pid not in (None, *killed), 30)
        killed.add(whole._worker.pid)
        os.kill(whole._worker.pid, signal.SIGKILL)
    assert list(whole.watch(job_id))[-1].kind == "WorkerDied"
    time.sleep(0.5)  # ffmpeg, without its frames, may not bring the file back
    assert {one.name for one in tmp_path.iterdir()} == {"clip.mp4", ".other.part"}
    assert out.read_bytes() == b"the last one"


def test_the_queue_itself_costs_little(whole):
    list(whole.watch(whole.submit(TEXT)))  # the worker is up
    costs = []
    for _ in range(5):
        start = time.monotonic()
        job_id = whole.submit(TEXT)
        list(whole.watch(job_id))
        costs.append(time.monotonic() - start - whole.job(job_id).result.timings["total"])
    assert min(costs) < 0.3


def test_the_server_process_stays_light():
    program = (
        "import sys; import wan_app.services, wan_app.cli;"
        "print([one for one in ('torch', 'diffusers', 'transformers', 'gradio') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_front_door_stays_readable():
    """The house rule, for the file that every feature passes through."""
    source = Path(services_module.__file__ or "").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 400


def test_a_row_tells_whether_what_fast_needs_is_here(settings, services, tmp_path, monkeypatch):
    def fast():
        return {row["id"]: row["fast"] for row in services.models()}

    assert fast()["pocket"] is None and not fast()["wan2.1-t2v-14b"]["available"]
    spec = registry.get("wan2.1-t2v-14b").fast
    assert fast()[registry.get("wan2.1-t2v-14b").id]["download_bytes"] == spec.download_bytes
    monkeypatch.setattr(services, "settings", replace(settings, weights_dir=tmp_path))
    for name in spec.files:
        (tmp_path / spec.repository / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / spec.repository / name).touch()
    assert fast()["wan2.1-t2v-14b"]["available"] and not fast()["wan2.2-t2v-a14b"]["available"]


def test_a_licence_is_accepted_in_its_own_words_and_taken_back(services):
    def terms():
        return {row["id"]: row["terms"] for row in services.models()}

    assert terms()["pocket"] is None and terms()["minimax-h3"]["accepted_at"] is None
    with pytest.raises(InvalidRequest, match="words: got 'yes'"):
        services.accept_licence("minimax-h3", "yes")
    services.accept_licence("minimax-h3", terms()["minimax-h3"]["words"])
    assert terms()["minimax-h3"]["accepted_at"] and terms()["echo-1.5"]["accepted_at"] is None
    licences.withdraw("minimax-h3", services.settings)
    assert terms()["minimax-h3"]["accepted_at"] is None
