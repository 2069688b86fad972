"""Downloads from a hub on this machine that stalls, cuts, drops and lies: what lands is whole or not there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.families.conftest import Recorder
from tests.families.fake_hub import (
    COMMIT,
    CRAWL,
    CUT,
    DROP,
    LONGER,
    STALL,
    UNNEEDED,
    WRONG,
    FakeHub,
    tensors,
    vace_repository,
)
from wan_app.errors import Cancelled, InvalidRequest, ModelUnavailable, StorageError
from wan_app.families import registry
from wan_app.families.spec import Fast
from wan_app.families.weights import download as module
from wan_app.families.weights import licences, pins
from wan_app.families.weights import locate as weights
from wan_app.families.weights.download import download
from wan_app.families.weights.hub import Patience
from wan_app.settings import Settings
from wan_app.types import Downloading, Loading

MODEL = "wan2.1-vace-1.3b"
REPOSITORY = registry.get(MODEL).repository
SHARD = "text_encoder/model-00002-of-00002.safetensors"
# A stalled connection is noticed in half a second; a crawl, which takes two, in three times that.
HASTE = Patience(stall=0.5, tries=3, wait=0.01, longest=0.02)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub({REPOSITORY: vace_repository()}) as one:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", one.url)
        template = one.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "*")
        yield one


@pytest.fixture(params=["weights folder", "hub cache"])
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    folder = tmp_path / "models" if request.param == "weights folder" else None
    return Settings(data_dir=tmp_path / "data", weights_dir=folder)


@pytest.fixture
def in_folder(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", weights_dir=tmp_path / "models")


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and ".cache" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def needed() -> dict[str, bytes]:
    return {path: content for path, content in vace_repository().items() if path not in UNNEEDED}


def test_it_fetches_what_the_model_needs_and_nothing_else(hub: FakeHub, settings: Settings) -> None:
    report = Recorder()
    done = download(MODEL, settings, report, HASTE)
    assert contents(done.folder) == needed()
    assert weights.locate(registry.get(MODEL), settings) == done.folder
    assert done.total == done.fetched == sum(map(len, needed().values())) and done.commit == COMMIT
    told = report.of(Downloading)
    index = len(needed()["model_index.json"])
    assert told[0] == Downloading(index, done.total) and told[-1].done == done.total  # type: ignore[attr-defined]


def test_the_hub_library_finds_what_lies_in_its_cache(hub: FakeHub, tmp_path: Path) -> None:
    from huggingface_hub import scan_cache_dir, snapshot_download

    folder = download(MODEL, Settings(data_dir=tmp_path), Recorder(), HASTE).folder
    cache = tmp_path / "cache"
    assert snapshot_download(REPOSITORY, cache_dir=cache, local_files_only=True) == str(folder)
    scanned = scan_cache_dir(cache)
    assert not scanned.warnings
    (repository,) = scanned.repos
    assert repository.repo_id == REPOSITORY and repository.nb_files == len(needed())
    assert repository.size_on_disk == sum(map(len, needed().values()))


def test_a_newer_commit_fetches_only_what_changed(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)
    old = download(MODEL, settings, Recorder(), HASTE).folder
    monkeypatch.setattr("tests.families.fake_hub.COMMIT", "beef" * 10)
    hub.repositories[REPOSITORY]["vae/config.json"] = b'{"_class_name": "AutoencoderKLWan", "new": 1}'
    monkeypatch.setattr(module, "_whole", lambda *_: None)
    with pytest.raises(ModelUnavailable, match="no such revision: it was fetched at .*pins.json keeps to"):
        download(MODEL, settings, Recorder(), HASTE)
    settings.pins_file.unlink()
    hub.asked.clear()
    new = download(MODEL, settings, Recorder(), HASTE).folder
    assert hub.files_asked() == ["model_index.json", "vae/config.json"] and new.name == "beef" * 10 and old.is_dir()
    assert weights.locate(registry.get(MODEL), settings) == new
    assert contents(new).keys() == needed().keys()


def test_a_model_that_is_here_asks_nothing_of_the_hub(hub: FakeHub, settings: Settings) -> None:
    folder = download(MODEL, settings, Recorder(), HASTE).folder
    hub.asked.clear()
    again = download(MODEL, settings, Recorder(), HASTE)
    assert hub.asked == [] and again.folder == folder and again.fetched == 0


BAD_LINES = [
    [STALL], [CRAWL], [DROP], [CUT], [503], [429, 500], [416], [STALL, DROP, CUT, 503, STALL, DROP],
]  # fmt: skip


@pytest.mark.parametrize("faults", BAD_LINES)
def test_a_bad_line_is_survived_and_nothing_is_fetched_twice(
    hub: FakeHub, settings: Settings, faults: list[str | int]
) -> None:
    hub.faults[SHARD] = list(faults)
    report = Recorder()
    done = download(MODEL, settings, report, HASTE)
    assert contents(done.folder) == needed() and done.fetched == done.total
    assert any(isinstance(event, Loading) and "broke off" in event.what for event in report.events)


@pytest.mark.parametrize("fault", [WRONG, LONGER])
def test_other_bytes_than_announced_are_thrown_away(hub: FakeHub, settings: Settings, fault: str) -> None:
    hub.faults[SHARD] = [fault]
    assert contents(download(MODEL, settings, Recorder(), HASTE).folder) == needed()


@pytest.mark.parametrize("fault", [STALL, WRONG, 503])
def test_a_hub_that_never_mends_ends_in_one_line_and_no_wrong_file(
    hub: FakeHub, in_folder: Settings, fault: str | int
) -> None:
    hub.faults[SHARD], hub.after = [fault] * 50, 0
    said = f"the download from http.* stopped.*python -m wan_app download {MODEL}"
    with pytest.raises(ModelUnavailable, match=said) as caught:
        download(MODEL, in_folder, Recorder(), HASTE)
    assert "\n" not in str(caught.value)
    there = contents(in_folder.weights_dir / REPOSITORY)  # type: ignore[operator]
    assert SHARD not in there and "model_index.json" not in there
    assert all(needed()[path] == content for path, content in there.items())
    with pytest.raises(ModelUnavailable, match="fetches what is missing"):
        weights.locate(registry.get(MODEL), in_folder)


def test_a_later_try_goes_on_at_the_very_byte(hub: FakeHub, settings: Settings) -> None:
    hub.faults[SHARD] = [DROP, 404]
    with pytest.raises(ModelUnavailable, match="HTTP 404"):
        download(MODEL, settings, Recorder(), HASTE)
    hub.asked.clear()
    report = Recorder()
    done = download(MODEL, settings, report, HASTE)
    asked = [one.range for one in hub.asked if one.path.endswith(SHARD) and one.path.startswith("/cdn/")]
    assert asked == [f"bytes={hub.after}-"]
    assert contents(done.folder) == needed() and done.fetched < done.total
    first = report.of(Downloading)[0]
    assert first.done == done.total - done.fetched  # type: ignore[attr-defined]


def test_a_server_without_ranges_is_begun_anew(hub: FakeHub, settings: Settings) -> None:
    hub.faults[SHARD], hub.ranges = [DROP], False
    done = download(MODEL, settings, Recorder(), HASTE)
    assert contents(done.folder) == needed() and done.fetched == done.total + hub.after


def test_a_part_that_rotted_is_thrown_away(hub: FakeHub, in_folder: Settings) -> None:
    hub.faults[SHARD] = [DROP, 404]
    with pytest.raises(ModelUnavailable):
        download(MODEL, in_folder, Recorder(), HASTE)
    part = max(in_folder.weights_dir.rglob("*.incomplete"), key=lambda one: one.stat().st_size)  # type: ignore[union-attr]
    part.write_bytes(b"\0" * part.stat().st_size)
    assert contents(download(MODEL, in_folder, Recorder(), HASTE).folder) == needed()


@pytest.mark.parametrize("harm", ["missing shard", "truncated", "empty config"])
def test_a_broken_folder_is_mended_with_the_broken_files_alone(hub: FakeHub, settings: Settings, harm: str) -> None:
    folder = download(MODEL, settings, Recorder(), HASTE).folder
    file = folder / ("vae/config.json" if harm == "empty config" else SHARD)
    real = file.resolve()
    if harm == "missing shard":
        real.unlink()
        file.unlink(missing_ok=True)
    else:
        real.write_bytes(real.read_bytes()[:300] if harm == "truncated" else b"")
    hub.asked.clear()
    download(MODEL, settings, Recorder(), HASTE)
    assert contents(folder) == needed() and hub.files_asked() == [str(file.relative_to(folder))]


@pytest.mark.parametrize("where", ["listing", SHARD])
def test_a_cancel_works_at_once_while_a_connection_hangs(hub: FakeHub, settings: Settings, where: str) -> None:
    hub.faults[where] = [STALL]
    stop = threading.Event()

    class Stopping(Recorder):
        def check(self) -> None:
            if stop.is_set():
                raise Cancelled

    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        download(MODEL, settings, Stopping(), Patience(stall=60))
    assert time.monotonic() - started < 10  # the line hangs for a minute
    assert contents(download(MODEL, settings, Recorder(), HASTE).folder) == needed()


def test_a_full_disk_is_told_before_the_first_tensor(
    hub: FakeHub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "free_bytes", lambda _: 500_000_100)
    with pytest.raises(StorageError, match=r"download: got 0.5 GB free .*; needed 0.5 GB for the rest of wan2.1"):
        download(MODEL, settings, Recorder(), HASTE)
    assert set(hub.files_asked()) == {"model_index.json"}


def test_a_folder_that_cannot_be_written_is_one_line(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="^download: got .*file.*; needed a disk"):
        download(MODEL, Settings(data_dir=tmp_path, weights_dir=tmp_path / "file"), Recorder(), HASTE)


def test_one_download_of_a_model_at_a_time(hub: FakeHub, settings: Settings) -> None:
    hub.rate = 5_000
    stop = threading.Event()

    class Stopping(Recorder):
        def check(self) -> None:
            if stop.is_set():
                raise Cancelled

    def first() -> None:
        with pytest.raises(Cancelled):
            download(MODEL, settings, recorder, HASTE)

    recorder = Stopping()
    thread = threading.Thread(target=first)
    thread.start()
    while not recorder.of(Downloading):
        time.sleep(0.02)
    with pytest.raises(InvalidRequest, match="which is being downloaded already"):
        download(MODEL, settings, Recorder(), HASTE)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_the_token_goes_to_the_hub_and_not_to_where_it_sends_us(
    hub: FakeHub, in_folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    download(MODEL, in_folder, Recorder(), HASTE)
    tokens = {one.path.startswith("/cdn/"): one.token for one in hub.asked}
    assert tokens == {False: "Bearer hf_secret", True: None}


REFUSALS = {
    "gated": ("agreed to its terms", lambda hub: setattr(hub, "gated", True)),
    "unknown": ("the hub knows no", lambda hub: hub.repositories.clear()),
    "captive portal": ("no list of files", lambda hub: hub.faults.update(listing=[WRONG] * 9)),
    "no index": ("has no model_index.json", lambda hub: hub.repositories[REPOSITORY].pop("model_index.json")),
    "another pipeline": ("holds a Other", lambda hub: hub.repositories[REPOSITORY].update(
        {"model_index.json": b'{"_class_name": "Other"}'})),
    "index is a list": ("not a JSON object", lambda hub: hub.repositories[REPOSITORY].update(
        {"model_index.json": b"[]"})),
    "only pickles": ("pickles are never opened", lambda hub: hub.repositories[REPOSITORY].update(
        {"vae/diffusion_pytorch_model.bin": hub.repositories[REPOSITORY].pop("vae/diffusion_pytorch_model.safetensors"),
         "vae/model.safetensors": b""}) or hub.repositories[REPOSITORY].pop("vae/model.safetensors")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_repository_that_does_not_do_is_one_line_before_any_tensor(
    hub: FakeHub, in_folder: Settings, case: str
) -> None:
    said, change = REFUSALS[case]
    change(hub)
    with pytest.raises(ModelUnavailable, match=said) as caught:
        download(MODEL, in_folder, Recorder(), HASTE)
    assert MODEL in str(caught.value) and "\n" not in str(caught.value)
    assert set(hub.files_asked()) <= {"model_index.json"}


def test_a_path_out_of_the_folder_is_never_written(hub: FakeHub, in_folder: Settings, tmp_path: Path) -> None:
    hub.repositories[REPOSITORY] |= {"vae/../../../../evil.json": b"{}", "/tmp/evil.json": b"{}", "vae/..": b"{}"}
    download(MODEL, in_folder, Recorder(), HASTE)
    assert not list(tmp_path.rglob("evil.json"))


def test_switched_off_hub_is_one_line(hub: FakeHub, in_folder: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE"):
        download(MODEL, in_folder, Recorder(), HASTE)
    assert hub.asked == []


def test_a_restrictive_licence_comes_first(hub: FakeHub, in_folder: Settings) -> None:
    with pytest.raises(ModelUnavailable, match="accept minimax-h3"):
        download("minimax-h3", in_folder, Recorder(), HASTE)
    assert hub.asked == []
    licences.accept("minimax-h3", licences.LICENCES["minimax-h3"].words, in_folder)
    with pytest.raises(ModelUnavailable, match="the hub knows no MiniMaxAI/MiniMax-H3"):
        download("minimax-h3", in_folder, Recorder(), HASTE)


def test_unknown_models_list_the_known_and_the_bundled_one_is_here(in_folder: Settings) -> None:
    with pytest.raises(InvalidRequest, match="one of pocket, .*pocket-tts"):
        download("sora", in_folder, Recorder(), HASTE)
    assert download("pocket", in_folder, Recorder(), HASTE).fetched == 0


def test_a_speech_model_brings_all_its_parts(hub: FakeHub, settings: Settings) -> None:
    from wan_app.families.speech import registry as speech_registry
    from wan_app.families.speech import weights as speech_weights

    spec = speech_registry.get("pocket-tts")
    for part in spec.parts:
        hub.repositories[part.repository] = {
            **dict.fromkeys(part.files, b"{}"), "config.json": b'{"model_type": "%s"}' % part.model_type.encode(),
            "model.safetensors": tensors(6000), "pytorch_model.bin": b"pickle",
        }
    download("pocket-tts", settings, Recorder(), HASTE)
    folders = speech_weights.locate(spec, settings)
    for part, folder in zip(spec.parts, folders):
        assert contents(folder).keys() == {*part.files, "config.json", "model.safetensors"}


def in_another_repository(hub: FakeHub, **source: str) -> dict[str, bytes]:
    """Move the autoencoder to `someone/parts`; its files."""
    files = hub.repositories[REPOSITORY]
    vae = {path: files.pop(path) for path in list(files) if path.startswith("vae/")}
    hub.repositories["someone/parts"] = {f"deep/{path}": content for path, content in vae.items()}
    index = json.loads(files["model_index.json"])
    index["vae"].append({"pretrained_model_name_or_path": "someone/parts", "subfolder": "deep/vae"} | source)
    files["model_index.json"] = json.dumps(index).encode()
    return vae


def test_a_component_from_another_repository_lies_under_its_name(hub: FakeHub, settings: Settings) -> None:
    vae = in_another_repository(hub)
    folder = download(MODEL, settings, Recorder(), HASTE).folder
    assert (folder / "vae/config.json").read_bytes() == vae["vae/config.json"]
    assert contents(folder).keys() == needed().keys()


# --- The fast preset -------------------------------------------------------------------------------


@pytest.fixture
def fast(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Fast:
    """A preset of the model, whose LoRAs lie in a repository of their own."""
    few = Fast(repository="someone/Fast", files=("few/high.safetensors", "few/low.safetensors"), download_bytes=99)
    hub.repositories[few.repository] = {name: tensors(9000, 5) for name in (*few.files, "few/other.safetensors")}
    row = replace(registry.get(MODEL), fast=few)
    monkeypatch.setattr(module.registry, "specs", lambda: {MODEL: row})
    return few


def test_the_fast_preset_brings_its_loras_and_nothing_else(hub: FakeHub, settings: Settings, fast: Fast) -> None:
    download(MODEL, settings, Recorder(), HASTE)
    assert weights.locate_file(fast.repository, fast.files[0], settings) is None
    asked = len(hub.files_asked())
    done = download(module.target_of(MODEL, "fast"), settings, Recorder(), HASTE)
    assert done.model == MODEL and done.total == sum(len(hub.repositories[fast.repository][one]) for one in fast.files)
    # The model was here, and is not asked about again.
    assert sorted(hub.files_asked()[asked:]) == sorted(fast.files)
    for name in fast.files:
        file = weights.locate_file(fast.repository, name, settings)
        assert file is not None and file.read_bytes() == hub.repositories[fast.repository][name]
    hub.asked.clear()
    assert download(module.target_of(MODEL, "fast"), settings, Recorder(), HASTE).total == 0 and not hub.asked


def test_model_and_preset_come_in_one_go(hub: FakeHub, settings: Settings, fast: Fast) -> None:
    done = download(module.target_of(MODEL, "fast"), settings, Recorder(), HASTE)
    assert contents(done.folder) == needed()
    assert all(weights.locate_file(fast.repository, name, settings) for name in fast.files)


def test_a_preset_that_is_not_there_is_refused(hub: FakeHub, settings: Settings) -> None:
    with pytest.raises(InvalidRequest, match="preset: got fast; needed quality: there is no fast one for wan2.1-vace"):
        download(module.target_of(MODEL, "fast"), settings, Recorder(), HASTE)
    assert not hub.asked


# --- Pins --------------------------------------------------------------------------------------------


def test_the_first_download_pins_its_commit(hub: FakeHub, settings: Settings) -> None:
    assert pins.pinned(REPOSITORY, settings) is None
    folder = download(MODEL, settings, Recorder(), HASTE).folder
    assert pins.pinned(REPOSITORY, settings) == COMMIT
    pins.pin(REPOSITORY, "f" * 40, settings)
    assert pins.pinned(REPOSITORY, settings) == COMMIT
    # A part that is lost comes from that commit again, whatever the branch is by now.
    (folder / SHARD).unlink()
    hub.asked.clear()
    download(MODEL, settings, Recorder(), HASTE)
    assert hub.asked[0].path == f"/api/models/{REPOSITORY}/revision/{COMMIT}"


@pytest.mark.parametrize(
    ("revision", "name"), [("main", "someone/parts"), (COMMIT, f"someone/parts@{COMMIT}")], ids=["branch", "commit"]
)
def test_a_component_from_another_repository_is_pinned_too(
    hub: FakeHub, settings: Settings, revision: str, name: str
) -> None:
    in_another_repository(hub, revision=revision)
    folder = download(MODEL, settings, Recorder(), HASTE).folder
    assert pins.pinned(name, settings) == pins.pinned(REPOSITORY, settings) == COMMIT
    (folder / "vae/config.json").unlink()
    hub.asked.clear()
    download(MODEL, settings, Recorder(), HASTE)
    listings = {one.path for one in hub.asked if one.path.startswith("/api/")}
    assert listings == {f"/api/models/{one}/revision/{COMMIT}" for one in (REPOSITORY, "someone/parts")}


def test_a_component_whose_commit_is_gone_is_told_with_its_pin(hub: FakeHub, in_folder: Settings) -> None:
    in_another_repository(hub)
    pins.pin("someone/parts", "f" * 40, in_folder)
    with pytest.raises(ModelUnavailable, match="someone/parts has no such revision: it was fetched at ffffffffffff"):
        download(MODEL, in_folder, Recorder(), HASTE)
    assert pins.pinned(REPOSITORY, in_folder) is None


def test_the_pinned_snapshot_is_used_whatever_another_program_fetched(
    hub: FakeHub, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    folder = download(MODEL, settings, Recorder(), HASTE).folder
    # As another program leaves the cache that has begun to fetch what is newer.
    newer = folder.parent / ("d" * 40)
    newer.mkdir()
    (newer / "model_index.json").write_text("{}")
    (folder.parents[1] / "refs" / "main").write_text("d" * 40)
    assert weights.locate(registry.get(MODEL), settings) == folder
    settings.pins_file.unlink()
    with pytest.raises(ModelUnavailable, match="d" * 40):
        weights.locate(registry.get(MODEL), settings)


def test_a_download_that_failed_pins_nothing(hub: FakeHub, settings: Settings) -> None:
    hub.faults[SHARD], hub.after = [CUT] * 50, 0
    with pytest.raises(ModelUnavailable):
        download(MODEL, settings, Recorder(), HASTE)
    assert pins.pinned(REPOSITORY, settings) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"Wan-AI/Wan2.1-VACE-1.3B-diffusers": "main/../x"}'])
def test_pins_that_cannot_be_read_are_none(in_folder: Settings, content: str) -> None:
    in_folder.data_dir.mkdir()
    in_folder.pins_file.write_text(content)
    assert pins.pinned(REPOSITORY, in_folder) is None
