"""The command line: exit codes, one-line errors, JSON, repeat, Ctrl+C. Fake model, real process."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from tests import fakes
from tests.marking import same_but_for_marks
from wan_app import arguments, cli, services
from wan_app.settings import Settings
from wan_app.types import Character, GenerationRequest

SHORT = ["--prompt", "a cat in the park", "--seconds", "0.6", "--num-inference-steps", "2", "--seed", "3"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WAN_APP_DEVICE", "cpu")
    return tmp_path / "data"


@pytest.fixture
def fake(data, monkeypatch):
    """The command line in this process, with the fake model behind it."""
    monkeypatch.setattr(services, "RECIPE", fakes.RECIPE)
    monkeypatch.setattr(services.weights, "locate", lambda *_: None)
    monkeypatch.setattr(services.speech_weights, "locate", lambda *_: ())
    # Signals belong to pytest here; the subprocess tests below try the real ones.
    monkeypatch.setattr(cli, "_interrupt_on_termination", lambda: None)


@pytest.fixture
def face(tmp_path):
    Image.new("RGB", (64, 64), (200, 150, 120)).save(tmp_path / "face.png")
    return str(tmp_path / "face.png")


def run(capsys, *args):
    code = cli.main([str(one) for one in args])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *args, code=2):
    """The one line of a refusal."""
    got, out, err = run(capsys, *args)
    assert (got, out) == (code, ""), err
    assert err.endswith("\n") and err.count("\n") == 1 and "Traceback" not in err
    return err.strip()


@pytest.mark.parametrize("args, said", [
    ([], "generate|models|download|fit|licence|consent|verify|jobs|gallery|cast|guests|doctor|serve"),
    (["dance"], "'dance'"),
    (["generate"], "mode: got nothing; needed one of text, image, reference"),
    (["generate", "video", "--prompt", "x"], "mode: got 'video'"),
    (["generate", "text"], "prompt: got nothing"),
    (["generate", "text", "--prompt", "  "], "prompt: got nothing"),
    (["generate", "text", "--prompt", "x" * 20_000], "prompt: got 20000 characters"),
    (["generate", "text", "--prompt", "a\x00b"], "U+0000"),
    (["generate", "text", "--prompt", "x", "--size", "big"], "size: got 'big'"),
    (["generate", "text", "--prompt", "x", "--size", "0x0"], "got 0"),
    (["generate", "text", "--prompt", "x", "--size=-128x-128"], "got -128"),
    (["generate", "text", "--prompt", "x", "--size", "-1x5"], "width: got -1; needed"),
    (["generate", "text", "--prompt", "x", "--size", "-"], "size: got '-'; needed WIDTHxHEIGHT"),
    (["generate", "text", "--prompt", "x", "--seconds", "-1"], "seconds: got -1"),
    (["generate", "text", "--prompt", "x", "--seconds", "-inf"], "seconds: got -inf; needed"),
    (["generate", "text", "--prompt", "x", "--seconds", "-soon"], "seconds: got '-soon'; needed a number"),
    (["generate", "text", "--prompt", "x", "--seed", "-5"], "seed: got -5; needed"),
    (["generate", "text", "--prompt", "x", "--seed", "-five"], "seed: got '-five'; needed a whole number"),
    (["generate", "text", "--prompt", "x", "--num-inference-steps", "-1e3"], "num_inference_steps: got '-1e3'"),
    (["generate", "text", "--prompt", "x", "--guidance-scale", "nan"], "guidance_scale: got nan; needed"),
    (["generate", "text", "--prompt", "x", "--guidance-scale", "-nan"], "guidance_scale: got nan; needed"),
    (["serve", "--port", "-1"], "port: got -1; needed a whole number from 1 to 65535"),
    (["serve", "--port", "65536"], "port: got 65536; needed"),
    (["generate", "text", "--prompt", "x", "-x"], "-x"),
    (["generate", "text", "--prompt", "x", "--size", "127x127"], "size: got 127x127"),
    (["generate", "text", "--prompt", "x", "--size", "99999999x9"], "got 99999999"),
    (["generate", "text", "--prompt", "x", "--seconds", "0"], "seconds: got 0"),
    (["generate", "text", "--prompt", "x", "--seconds", "nan"], "seconds: got nan"),
    (["generate", "text", "--prompt", "x", "--seconds", "1e9"], "seconds: got 1000000000"),
    (["generate", "text", "--prompt", "x", "--seconds", "soon"], "seconds: got 'soon'"),
    (["generate", "text", "--prompt", "x", "--seed", "-1"], "seed: got -1"),
    (["generate", "text", "--prompt", "x", "--seed", str(2**31)], "seed: got 2147483648"),
    (["generate", "text", "--prompt", "x", "--seed", "1.5"], "seed: got '1.5'"),
    (["generate", "text", "--prompt", "x", "--num-inference-steps", "0"], "num_inference_steps: got 0"),
    (["generate", "text", "--prompt", "x", "--guidance-scale", "inf"], "guidance_scale: got inf"),
    (["generate", "text", "--prompt", "x", "--model", "sora"], "model: got 'sora'"),
    (["generate", "text", "--prompt", "x", "--steps", "4"], "--steps"),
    (["generate", "text", "--prompt", "x", "--out", "/no/such/folder/x.mp4"], "out: got"),
    (["generate", "image", "--prompt", "x"], "image: got nothing"),
    (["generate", "image", "--prompt", "x", "--image", "/no/such/picture.png"], "image: got"),
    (["generate", "reference", "--prompt", "x", "--consent"], "face: got no picture"),
    (["generate", "text", "--prompt", "x", "--face", "me.png"], "face: got a picture for mode text"),
    (["generate", "text", "--prompt", "x", "--image", "me.png"], "image: got a picture for mode text"),
    (["generate", "reference", "--prompt", "x", "--consent", "--character", "anna"], "character: got 'anna'"),
    (["generate", "reference", "--prompt", "x", "--consent", "--voice", "/no/v.wav", "--say", "x"], "voice: got v.wav"),
    (["generate", "reference", "--prompt", "x", "--consent", "--voice", "/dev/zero", "--say", "x"], "voice: got zero"),
    (["generate", "text", "--prompt", "x", "--voice", "v.wav"], "voice: got a voice for mode text"),
    (["generate", "text", "--prompt", "x", "--say", "x" * 601], "say: got 601 characters"),
    (["generate", "text", "--prompt", "x", "--soundtrack", "/no/song.mp3"], "soundtrack: got song.mp3"),
    (["generate", "text", "--prompt", "x", "--soundtrack-mode", "loud"], "soundtrack_mode: got 'loud'; needed one of"),
    (["generate", "text", "--prompt", "x", "--sound-only", "--say", "hi", "--out", "/tmp/a.mp4"], "out: got a.mp4"),
    (["generate", "--from", "/no/such/file.mp4"], "from: got"),
    (["serve", "--port", "web"], "port: got 'web'"),
])
def test_bad_input_is_one_line_and_exit_code_2(fake, capsys, args, said):
    assert said in refused(capsys, *args)


def test_reference_needs_consent(fake, capsys, face):
    said = refused(capsys, "generate", "reference", *SHORT, "--face", face)
    assert said.startswith("consent: got no consent; needed") and "--consent" in said


def test_missing_weights_are_exit_code_3(data, capsys):
    said = refused(capsys, "generate", "text", "--prompt", "x", "--model", "wan2.1-vace-1.3b", code=3)
    assert "Wan-AI/Wan2.1-VACE-1.3B-diffusers" in said and "--weights" in said


def test_a_data_folder_that_cannot_be_used(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(tmp_path / "file"))
    assert refused(capsys, "jobs").startswith("data_dir: got")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAN_APP_DATA_DIR", "~nobody-of-this-name")  # no such home: a name like any other
    assert run(capsys, "jobs", "--json")[:2] == (0, "[]\n")


def test_a_mistake_of_ours_is_one_line_and_a_log(data, capsys, monkeypatch):
    monkeypatch.setattr(services.Services, "models", lambda self: 1 // 0)
    said = refused(capsys, "models", code=1)
    assert said.startswith("Unexpected ZeroDivisionError") and "cli.log" in said
    assert "Traceback" in (data / "logs" / "cli.log").read_text()


@pytest.mark.parametrize("prompt, code", [("oom in denoising", 4), ("unavailable in encoding", 3),
                                          ("crash in denoising", 1), ("boom in decoding", 1)])
def test_a_job_that_fails_gives_its_exit_code(fake, capsys, tmp_path, prompt, code):
    out = tmp_path / "clip.mp4"
    refused(capsys, "generate", "text", *SHORT, "--prompt", prompt, "--out", out, code=code)
    assert not out.exists()


def test_generate_prints_the_result_as_json(fake, capsys, tmp_path):
    out = tmp_path / "clip.mp4"
    code, printed, err = run(capsys, "generate", "text", *SHORT, "--out", out, "--json")
    result = json.loads(printed)
    assert code == 0 and err == ""
    assert set(result) == {"file", "model", "mode", "seed", "width", "height", "num_frames", "fps", "seconds",
                           "audio", "similarity", "notes", "timings", "watermark_id", "consent_id", "checks"}
    assert (result["file"], result["seed"], result["mode"]) == (str(out), 3, "text")
    assert out.read_bytes()[4:8] == b"ftyp"
    code, printed, _ = run(capsys, "jobs", "--json")
    assert [(row["state"], row["file"]) for row in json.loads(printed)] == [("finished", str(out))]


def test_without_out_the_file_stays_in_the_data_folder(fake, data, capsys):
    code, printed, _ = run(capsys, "generate", "text", *SHORT)
    assert code == 0 and Path(printed.strip()).is_relative_to(data) and Path(printed.strip()).exists()


def test_a_file_that_is_there_is_replaced_by_a_whole_one_and_that_is_told(fake, capsys, tmp_path):
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"an earlier one")
    code, _, err = run(capsys, "generate", "text", *SHORT, "--out", out)
    assert code == 0 and f"{out} is there already: the new one takes its place when it is whole" in err
    assert out.read_bytes()[4:8] == b"ftyp"


def test_relative_paths_are_ours_not_the_workers(fake, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "generate", "text", *SHORT, "--out", "clip.mp4")[0] == 0
    assert (tmp_path / "clip.mp4").exists()


def test_from_repeats_exactly_and_flags_change_what_they_name(fake, capsys, tmp_path, face):
    first, again, other = (tmp_path / f"{name}.mp4" for name in ("first", "again", "other"))
    assert run(capsys, "generate", "reference", *SHORT, "--face", face, "--consent", "--out", first)[0] == 0
    assert run(capsys, "generate", "--from", first, "--out", again)[0] == 0
    assert same_but_for_marks(again, first)
    code, printed, _ = run(
        capsys, "generate", "--from", first, "--out", other, "--seed", 4, "--seconds", 2, "--json"
    )
    result = json.loads(printed)
    assert (code, result["mode"], result["seed"], result["num_frames"]) == (0, "reference", 4, 17)
    assert "mode: got 'text'; needed reference" in refused(capsys, "generate", "text", "--from", first)
    # The stored consent was for the stored face.
    assert refused(capsys, "generate", "--from", first, "--face", face).startswith("consent: got no consent")


@pytest.fixture
def voice(tmp_path):
    """An MP3 by its name only; four seconds of hum."""
    path = tmp_path / "me.mp3"
    soundfile.write(path, fakes.tone(150, 4, 16000), 16000, format="WAV")
    return path


SILENT = ["--model", "wan2.1-vace-1.3b", "--size", "256x256"]


def test_a_face_a_voice_and_words_make_a_video_with_sound(fake, capsys, tmp_path, face, voice):
    first, again = tmp_path / "first.mp4", tmp_path / "again.mp4"
    args = ["generate", "reference", *SHORT, *SILENT, "--face", face, "--voice", voice, "--say", "one two three",
            "--soundtrack", voice, "--soundtrack-mode", "mix", "--consent"]
    code, printed, err = run(capsys, *args, "--out", first, "--json")
    result = json.loads(printed)
    assert (code, err) == (0, "") and result["audio"]["sample_rate"] == 48000 and abs(result["audio"]["offset"]) < 0.02
    for start in ("Voice of character1: its name", "Soundtrack: its name", "Spoken by Pocket TTS"):
        assert any(note.startswith(start) for note in result["notes"]), start
    voice.unlink()  # the studio keeps its own copy
    code, printed, err = run(capsys, "generate", "--from", first, "--out", again)
    assert code == 0 and same_but_for_marks(again, first)
    assert "Spoken by Pocket TTS by Kyutai (CC-BY-4.0)" in err
    assert refused(capsys, "generate", "--from", first, "--voice", face).startswith("consent: got no consent")


def test_sound_alone(fake, capsys, tmp_path, voice):
    out = tmp_path / "voice.wav"
    args = ["generate", "reference", *SILENT, "--voice", voice, "--consent", "--sound-only", "--out", out]
    assert refused(capsys, *args).startswith("say: got nothing; needed words")
    code, printed, err = run(capsys, *args, "--say", "one two three")
    assert (code, printed) == (0, f"{out}\n") and err.startswith("sound, 0.3 s, seed ")
    assert soundfile.info(out).duration == pytest.approx(0.3)


def test_characters_and_faces_make_the_cast(face):
    args = cli._parser().parse_args([
        "generate", "reference", "--prompt", "x", "--face", "a.png", "--face", "b.png", "--voice", "v.wav",
        "--character", "Bo=c.png,d.jpg,say.WAV",
    ])
    first, second = arguments.request_of(args, None).characters
    assert (first.name, second.name) == ("character1", "Bo")
    assert (first.faces, first.voice) == ((Path("a.png"), Path("b.png")), Path("v.wav"))
    assert (second.faces, second.voice) == ((Path("c.png"), Path("d.jpg")), Path("say.WAV"))


@pytest.mark.parametrize("content, name, is_voice", [
    (b"RIFF\x24\x00\x00\x00WAVEfmt ", "a.png", True), (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "a.wav", False),
    (b"\x89PNG\r\n\x1a\n", "a.mp3", False), (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a.mp3", False),
    (b"\xff\xfb\x90\x00", "a", True), (b"ID3\x04", "a", True), (b"fLaC", "a", True),
    (b"\x00\x00\x00\x1cftypM4A ", "a.jpg", True), (b"\x00\x00\x00\x1cftypheic", "a.m4a", False),
    (b"\x1aE\xdf\xa3", "a", True), (b"words", "a.wav", True), (b"words", "a.png", False), (b"", "a.wav", True),
])
def test_a_voice_is_told_from_a_face_by_its_content(tmp_path, content, name, is_voice):
    (tmp_path / name).write_bytes(content)
    one = arguments.character(f"Ann={tmp_path / name}")
    assert (one.voice is not None, len(one.faces)) == (is_voice, not is_voice)


def test_from_a_video_a_new_voice_keeps_the_faces_and_asks_again(face):
    stored = GenerationRequest(
        mode="reference", prompt="x", consent=True, say="hello", soundtrack=Path("song.flac"),
        characters=(Character(name="Ann", faces=(Path(face),), voice=Path("old.flac")), Character(name="Ben")),
    )
    def given(*flags):
        return arguments.request_of(cli._parser().parse_args(["generate", "--from", "clip.mp4", *flags]), stored)

    assert given() == stored
    ann, ben = given("--voice", "new.wav").characters
    assert (ann.name, ann.faces, ann.voice, ben.name) == ("Ann", (Path(face),), Path("new.wav"), "Ben")
    assert given("--voice", "new.wav").consent is False and given("--voice", "new.wav", "--consent").consent is True
    changed = given("--say", "", "--soundtrack-mode", "mix", "--sound-only")
    assert (changed.say, changed.soundtrack_mode, changed.sound_only, changed.consent) == ("", "mix", True, True)
    assert given("--face", "b.png").characters == (Character(name="character1", faces=(Path("b.png"),)),)


def test_models_as_json(data, capsys):
    code, printed, err = run(capsys, "models", "--json")
    rows = json.loads(printed)
    assert (code, err) == (0, "")
    assert [row["id"] for row in rows][:1] == ["pocket"] and all("available" in row for row in rows)
    speech = {row["id"]: row for row in rows}["wan2.1-vace-1.3b"]["speech"]
    assert (speech["id"], speech["licence"], speech["available"]) == ("pocket-tts", "CC-BY-4.0", False)
    assert "eustlb/pocket-tts" in speech["reason"]


def test_models_in_words_tell_what_each_takes_and_gives(data, capsys):
    code, printed, err = run(capsys, "models")
    assert (code, err) == (0, "")
    lines = printed.splitlines()
    told = dict(zip((line.split()[0] for line in lines[::2]), lines[1::2]))
    assert len(told) == 14 and all(line.startswith("    ") for line in told.values())
    assert told["pocket"].strip() == (
        "14.4 M parameters; bundled; memory 900 MB; 5 to 81 frames (4k+1) at 8 fps; with sound; "
        "references: characters 1, pictures 4, voices 1"
    )
    assert told["wan2.1-vace-1.3b"].strip() == (
        "2.15 G parameters; 16.2 GB to download; memory 19.2 GB, 14.3 GB in 8 bits, 10.7 GB in 4; "
        "5 to 81 frames (4k+1) at 16 fps; silent; references: characters 3, pictures 3, voices 3"
    )
    assert told["ltx-2"].endswith("with sound; references: none")
    assert "MiniMax H3 Community License" in printed


def test_words_with_a_dash_in_front_are_words(data):
    given = ["generate", "text", "--prompt", "-a cat", "--negative-prompt", "-dogs"]
    args = cli._parser().parse_args(arguments.joined(given))
    assert (args.prompt, args.negative_prompt) == ("-a cat", "-dogs")


@pytest.mark.parametrize("flags, as_json", [([], False), (["--json"], True)])
def test_serve_passes_its_flags_on(data, monkeypatch, flags, as_json):
    import types

    seen = []
    launch = types.SimpleNamespace(serve=lambda *args, **options: seen.append((*args, options)))
    monkeypatch.setitem(sys.modules, "wan_app.ui.launch", launch)
    assert cli.main(["serve", "--host", "0.0.0.0", "--port", "8123", *flags]) == 0
    (settings, options), = seen
    assert (settings.host, settings.port, settings.data_dir) == ("0.0.0.0", 8123, data)
    assert options == {"as_json": as_json}


def test_serve_as_json_prints_the_address_and_nothing_else(start, data):
    program = start("serve", "--json", stderr=subprocess.PIPE)
    url = json.loads(program.stdout.readline())["url"]
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.status == 200
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=30)[0] == "" and program.returncode == 0


# --- As a program of its own -----------------------------------------------------------------


@pytest.fixture
def start(data):
    """Starts the command line with the fake model; whatever still runs afterwards is ended."""
    begun = []

    def start_one(*args, **options):
        command = [sys.executable, "-m", "tests.fakes", *map(str, args)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options))
        return begun[-1]

    yield start_one
    for program in begun:
        program.kill()
        program.wait()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_denoising(start, data, tmp_path, sent):
    out = tmp_path / "clip.mp4"
    args = ("generate", "text", "--prompt", "hang in denoising", "--out", out)
    program = start(*args, stderr=subprocess.PIPE)
    wait_for(lambda: '"Reading the prompt"' in rows(data))
    began = time.monotonic()
    program.send_signal(sent)
    printed, err = program.communicate(timeout=30)
    assert (program.returncode, printed, err) == (130, "", "Cancelled\n")
    assert time.monotonic() - began < 12  # unheeded, it would be ended after 15
    assert [one.name for one in tmp_path.iterdir()] == ["data"]
    assert '"cancelled"' in rows(data)


def test_nohup_lets_a_job_outlive_its_terminal(start, data, tmp_path):
    args = ("generate", "text", "--prompt", "hang in denoising", "--out", tmp_path / "clip.mp4")
    program = start(*args, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(lambda: '"Reading the prompt"' in rows(data))
    program.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_killed_while_denoising_leaves_no_worker_and_no_half_file(start, data, tmp_path, capsys):
    program = start("generate", "text", "--prompt", "hang in denoising", "--out", tmp_path / "clip.mp4")
    wait_for(lambda: '"Reading the prompt"' in rows(data))
    workers = children(program.pid)
    assert len(workers) == 1
    program.kill()
    program.wait()
    wait_for(lambda: not any(Path(f"/proc/{one}/cmdline").exists() for one in workers))
    assert [one.name for one in tmp_path.iterdir()] == ["data"]
    code, printed, _ = run(capsys, "jobs", "--json")  # any later command finds it out
    row = json.loads(printed)[0]
    assert (code, row["state"]) == (0, "failed") and "send it again" in row["error"]
    assert not any((data / "logs").glob("*-*.log"))  # nothing went wrong in the worker itself


@pytest.fixture
def open_studio(data, monkeypatch):
    """Opens a studio on the command line's data folder; (it, its worker)."""
    monkeypatch.setattr(services.weights, "locate", lambda *_: None)

    def make():
        worker = fakes.ScriptedWorker()
        return services.Services(Settings(data_dir=data, device="cpu"), worker=worker, lasting=True), worker

    return make


def test_a_studios_job_is_cancelled_from_the_command_line_and_removed(open_studio, capsys):
    studio, _ = open_studio()
    running, waiting = (studio.submit(GenerationRequest(mode="text", prompt=prompt), owner="anna")
                        for prompt in ("wait", "never"))
    for job_id in (waiting, running):
        code, printed, _ = run(capsys, "jobs", "cancel", job_id, "--json")
        assert (code, {row["id"]: row["state"] for row in json.loads(printed)}[job_id]) == (0, "cancelled")
    assert run(capsys, "jobs", "remove", running)[0] == 0
    code, printed, _ = run(capsys, "jobs", "--json")
    assert [row["id"] for row in json.loads(printed)] == [waiting]
    code, _, err = run(capsys, "jobs", "remove", "no-such-job")
    assert code == 2 and err.startswith("job: got 'no-such-job'") and err.count("\n") == 1
    studio.close()


def test_a_studios_waiting_job_is_moved_from_the_command_line(open_studio, capsys):
    studio, worker = open_studio()
    first, b, c, d, *others = [
        studio.submit(GenerationRequest(mode="text", prompt=prompt), owner=owner)
        for prompt, owner in (("wait", "anna"), ("b", "anna"), ("c", "anna"), ("d", "anna"), ("e", "ben"))
    ]
    wait_for(lambda: studio.job(first, owner="anna").state == "running")
    assert run(capsys, "jobs", "move", d, "--before", b)[0] == 0
    assert run(capsys, "jobs", "move", b, "--to", "back")[0] == 0
    wait_for(lambda: [job.id for job in studio.living(owner="anna")] == [first, d, c, b])
    for words, said in (
        (("move", first, "--to", "front"), "which is another process's; needed one that waits"),
        (("move", d), "needed either --before ID or --to WHERE"),
        (("move", d, "--before", d), "to: got"), (("move", d, "--before", first), "to: got"),
        (("move", d, "--before", others[0]), "to: got"), (("move", "x", "--to", "up"), "job: got 'x'"),
        (("move", d, "--to", "sideways"), "sideways"),
    ):
        code, _, err = run(capsys, "jobs", *words)
        assert code == 2 and said in err and err.count("\n") == 1
    worker.go_on.set()
    wait_for(lambda: not studio.living())
    assert worker.ran == ["wait", "d", "e", "c", "b"]
    studio.close()


def test_a_job_that_waits_for_the_next_studio_is_moved_too(open_studio, capsys):
    studio, worker = open_studio()
    first, *_, last = [studio.submit(GenerationRequest(mode="text", prompt=one)) for one in ("wait", "b", "c")]
    wait_for(lambda: studio.job(first).state == "running")
    studio.close()
    assert run(capsys, "jobs", "move", last, "--to", "front")[0] == 0
    studio, worker = open_studio()
    worker.go_on.set()
    wait_for(lambda: len(studio.jobs()) == 3 and all(job.ended for job in studio.jobs()))
    assert worker.ran[0] == "c"
    studio.close()


def test_somebody_looking_sees_progress(start, tmp_path):
    ours, theirs = pty.openpty()
    program = start("generate", "text", *SHORT, "--out", tmp_path / "clip.mp4", stderr=theirs)
    os.close(theirs)
    printed = program.communicate(timeout=30)[0]
    assert program.returncode == 0 and printed.strip().endswith("clip.mp4")
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert "Reading the prompt" in seen and "step 2 of 2" in seen


def test_a_closed_pipe_is_no_traceback(start):
    program = start("models", "--json", stderr=subprocess.PIPE)
    program.stdout.close()  # before anything is written
    assert program.stderr.read() == "" and program.wait(20) == 1


def children(pid):
    """Process ids of a process's children (Linux)."""
    listed = Path("/proc").glob(f"{pid}/task/*/children")
    return [int(one) for file in listed for one in file.read_text().split()]


def rows(data):
    """States and last events in the ledger, as text; read as another program would."""
    try:
        with sqlite3.connect(f"file:{data / 'ledger.sqlite3'}?mode=ro", uri=True) as ledger:
            return json.dumps(ledger.execute("SELECT state, event FROM jobs").fetchall()).replace('\\"', '"')
    except sqlite3.OperationalError:
        return ""  # not there yet


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("text", "file", "weight"),
    [("style.safetensors", "style.safetensors", 1.0), ("style.safetensors:-0.5", "style.safetensors", -0.5),
     ("C:\\loras\\a.safetensors", "C:\\loras\\a.safetensors", 1.0), ("C:\\a.safetensors:.8", "C:\\a.safetensors", 0.8)],
)  # fmt: skip
def test_a_lora_is_a_file_and_perhaps_a_weight(text: str, file: str, weight: float) -> None:
    args = cli._parser().parse_args(["generate", "text", "--prompt", "x", "--lora", text, "--preset", "fast"])
    request = arguments.request_of(args, None)
    assert [(str(one.file), one.weight) for one in request.loras] == [(file, weight)]
    assert request.preset == "fast" and request.guidance_until == 1.0
