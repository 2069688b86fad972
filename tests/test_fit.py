"""`fit`: from Services, from the command line, and what is known of the machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections import namedtuple
from dataclasses import replace

import pytest

from tests.fakes import ScriptedWorker
from wan_app import cli, devices
from wan_app.errors import InvalidRequest
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import Character, GenerationRequest

usage = namedtuple("usage", "total used free")


@pytest.fixture(autouse=True)
def large_disk(monkeypatch):
    monkeypatch.setattr(devices.shutil, "disk_usage", lambda path: usage(10**13, 0, 10**13))


@pytest.fixture
def services(tmp_path):
    made = Services(Settings(data_dir=tmp_path / "data", device="cpu"), worker=ScriptedWorker())
    yield made
    made.close()


def asked(model="wan2.1-vace-1.3b", **changes) -> GenerationRequest:
    return GenerationRequest(mode="text", prompt="", model=model, **changes)


def test_a_fit_is_plain_json_and_keeps_nothing(services):
    found = services.fit(asked(), vram=24, ram=64)
    assert json.loads(json.dumps(found)) == found
    assert found.keys() == {"model", "fits", "reason", "instead", "plan", "predicted", "measured", "request", "machine"}
    assert found["fits"] and found["plan"]["device"] == "cuda" and found["predicted"]["vram"] > 10**9
    assert found["predicted"].keys() == {"vram", "ram", "disk", "download", "minutes"}
    assert services.jobs() == []


def test_only_the_numbers_count(services, tmp_path):
    """A form that is half filled in has an answer too."""
    person = Character(name="character1", faces=(tmp_path / "none.png",) * 2)
    without, with_faces = (services.fit(asked(characters=one), vram=24, ram=64) for one in ((), (person,)))
    assert with_faces["predicted"]["minutes"] > without["predicted"]["minutes"]
    assert services.fit(replace(asked("wan2.1-i2v-14b-480p"), mode="image"), vram=24, ram=64)["fits"]


def test_where_it_does_not_fit_it_is_told_what_would(services):
    found = services.fit(asked("wan2.1-vace-14b", width=1280, height=720), vram=12, ram=64)
    assert not found["fits"] and any(line.startswith("a smaller size: 832x480") for line in found["instead"])


@pytest.mark.parametrize("change, field", [
    ({"width": 100, "height": 100}, "size"), ({"seconds": 900.0}, "seconds"), ({"model": "none"}, "model"),
])
def test_numbers_that_cannot_be_are_refused(services, change, field):
    with pytest.raises(InvalidRequest) as caught:
        services.fit(replace(asked(), **change))
    assert caught.value.field == field


@pytest.mark.parametrize("vram", [0, -1, float("nan"), 1e9, "8"])
def test_a_card_that_cannot_be_is_refused(services, vram):
    with pytest.raises(InvalidRequest, match="^vram: "):
        services.fit(asked(), vram=vram)


# --- The command line ----------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WAN_APP_DEVICE", "cpu")

    def call(*args):
        code = cli.main(["fit", *args])
        return code, *capsys.readouterr()

    return call


def test_the_answer_is_one_json_object(run):
    code, out, err = run("--model", "wan2.1-t2v-14b", "--size", "832x480", "--seconds", "2", "--vram", "12",
                         "--ram", "64", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "") and found["fits"] and found["request"]["num_frames"] == 33
    assert found["machine"]["name"].startswith("a card of 12 GB")


def test_the_answer_in_words(run):
    code, out, err = run("--model", "wan2.1-vace-1.3b", "--vram", "6", "--ram", "64")
    assert (code, err) == (0, "") and "832x480, 81 frames on a card of 6 GB" in out
    assert "Fits, " in out and "min (an estimate)" in out and "16.2 GB to download" in out
    code, out, _ = run("--model", "wan2.1-vace-14b", "--vram", "6", "--ram", "64")
    assert code == 0 and "Does not fit" in out and "What would fit: " in out


def test_the_bundled_model_fits_here(run):
    code, out, _ = run("--json")
    found = json.loads(out)
    assert code == 0 and found["model"] == "pocket" and found["fits"] and found["predicted"]["download"] == 0


@pytest.mark.parametrize("args", [("--size", "big"), ("--vram", "none"), ("--vram", "-4"), ("--model", "x"),
                                  ("--faces", "1.5"), ("--seconds", "1e9")])
def test_bad_input_is_one_line(run, args):
    code, out, err = run(*args)
    assert (code, out, err.count("\n")) == (2, "", 1) and "needed" in err


def test_the_table_is_markdown(run):
    code, out, _ = run("--table")
    assert code == 0 and out.startswith("| model, size, frames | 6 GB |") and "not measured" in out


# --- The machine ---------------------------------------------------------------------------------


def smi(**answers):
    """The driver's tool, answering by the beginning of what is asked."""
    def run(command, **_):
        query = command[1].removeprefix("--query-").partition("=")[0]
        if query not in answers:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, stdout=answers[query])

    return run


def test_the_drivers_own_tool_is_asked(tmp_path, monkeypatch):
    gpu = "NVIDIA GeForce RTX 4060 Ti, 16380, 12000\n"
    monkeypatch.setattr(devices.subprocess, "run", smi(gpu=gpu, **{"compute-apps": "4711, 3000\n99, 500\n"}))
    here = devices.machine(tmp_path, own_pid=4711)
    assert (here.device, here.name, here.tflops) == ("cuda", "NVIDIA GeForce RTX 4060 Ti", 44.1)
    # What our own worker holds would be given back.
    assert (here.vram, here.vram_free) == (16380 * 2**20, 15000 * 2**20)
    assert devices.machine(tmp_path, "cpu").vram == 0


@pytest.mark.parametrize("said", ["", "nonsense\n", "a, b\n", "[N/A], [N/A], [N/A]\n"])
def test_a_tool_that_says_nothing_useful_is_no_card(tmp_path, monkeypatch, said):
    monkeypatch.setattr(devices.subprocess, "run", smi(gpu=said))
    assert devices.machine(tmp_path, "cuda").vram == 0


def test_a_containers_memory_counts(tmp_path, monkeypatch):
    for name, text in (("_MEMORY_LIMIT", "1000000"), ("_MEMORY_USED", "400000")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(devices, name, tmp_path / name)
    here = devices.machine(tmp_path / "not" / "there", "cpu")
    assert (here.ram, here.ram_free) == (1_000_000, 600_000)
    own = devices.machine(tmp_path, "cpu", own_pid=os.getpid())
    assert own.ram_free == 1_000_000


def test_an_unknown_card_is_a_middling_one():
    assert devices.tflops_of("Some Card 9000") == 40.0 and devices.tflops_of("NVIDIA H100 80GB HBM3") == 989.0


def test_disk_is_that_of_the_folder_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(devices.shutil, "disk_usage", lambda path: usage(3, 2, 1) if path == tmp_path else None)
    assert devices.machine(tmp_path / "a" / "b", "cpu").disk_free == 1


def test_memory_that_a_process_took_is_seen():
    peak = devices.PeakMemory()
    peak.start()
    before = peak.bytes()[1]
    held = bytearray(50_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert peak.bytes()[1] >= before + 40_000_000
    del held


def test_only_memory_errors_count_as_such():
    for text in ("CUDA error: out of memory\nCUDA kernel errors might be", "CUBLAS_STATUS_ALLOC_FAILED when calling"):
        assert devices.is_out_of_memory(RuntimeError(text))
    for error in (RuntimeError("CUDA error: out of memory lane"), RuntimeError("device-side assert"), OSError("x")):
        assert not devices.is_out_of_memory(error)
