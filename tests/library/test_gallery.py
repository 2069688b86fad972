"""The gallery: what is in it, for whom, and that a deletion leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.library.conftest import make
from wan_app.errors import InvalidRequest, JobNotFound
from wan_app.services import Services
from wan_app.types import Character

GUEST = "visitor:ab12"


def test_newest_first_with_what_was_asked_and_made(services: Services) -> None:
    first, second = make(services), make(services, prompt="a dog at the beach", seed=9)
    shelf = services.library.gallery.page("local")
    assert [one.job.id for one in shelf.items] == [second, first] and shelf.total == 2
    newest = shelf.items[0]
    assert newest.job.request.prompt == "a dog at the beach" and newest.job.result and newest.job.result.seed == 9
    assert newest.job.result.watermark_id and newest.bytes == newest.job.result.file.stat().st_size > 0
    assert newest.to_json()["pinned"] is False


def test_search_finds_all_words_wherever_they_stand(services: Services) -> None:
    make(services)
    dog = make(services, prompt="A DOG at the beach", seed=77)
    page = services.library.gallery.page
    assert [one.job.id for one in page("local", words="beach dog").items] == [dog]
    assert [one.job.id for one in page("local", words="77").items] == [dog]
    assert page("local", words="dog park").total == 0


def test_pages(services: Services) -> None:
    ids = [make(services) for _ in range(3)]
    shelf = services.library.gallery.page("local", start=2, count=2)
    assert [one.job.id for one in shelf.items] == [ids[0]] and shelf.total == 3


def test_pins(services: Services) -> None:
    kept, _ = make(services), make(services)
    services.library.gallery.pin(kept, "local", pinned=True)
    assert [one.job.id for one in services.library.gallery.page("local", show="pinned").items] == [kept]
    services.library.gallery.pin(kept, "local", pinned=False)
    assert services.library.gallery.page("local", show="pinned").total == 0
    with pytest.raises(InvalidRequest, match="^show: got 'stars'"):
        services.library.gallery.page("local", show="stars")  # type: ignore[arg-type]


def test_everybody_has_a_gallery_of_their_own(services: Services) -> None:
    mine, theirs = make(services), make(services, owner=GUEST)
    gallery, library = services.library.gallery, services.library
    assert [one.job.id for one in gallery.page(GUEST).items] == [theirs]
    for forbidden in (
        lambda: gallery.get(mine, GUEST), lambda: gallery.pin(mine, GUEST, pinned=True),
        lambda: gallery.thumbnail(mine, GUEST), lambda: library.delete([mine], GUEST),
        lambda: library.export([theirs, mine], GUEST),
    ):
        with pytest.raises(JobNotFound):
            forbidden()
    assert gallery.get(mine, "local").there and not gallery.get(mine, "local").pinned


def test_a_small_picture_is_made_on_the_first_look(services: Services) -> None:
    job_id = make(services)
    thumb = services.library.gallery.thumbnail(job_id, "local")
    assert thumb is not None and Image.open(thumb).width == 360
    thumb.write_bytes(b"kept")
    assert services.library.gallery.thumbnail(job_id, "local") == thumb and thumb.read_bytes() == b"kept"


def test_a_file_that_is_gone_has_no_picture_and_is_said_to_be_gone(services: Services) -> None:
    job_id = make(services)
    kept = services.library.gallery.get(job_id, "local")
    assert kept.job.file
    kept.job.file.unlink()
    assert services.library.gallery.thumbnail(job_id, "local") is None
    assert not services.library.gallery.get(job_id, "local").there


def everything(services: Services) -> set[Path]:
    """All files of the data folder that belong to somebody's results."""
    data, own = services.settings.data_dir, services.settings
    homes = (own.outputs_dir, own.inputs_dir, own.sidecars_dir, own.cache_dir, own.receipts_dir)
    return {file.relative_to(data) for home in homes for file in home.rglob("*") if file.is_file()}


def test_a_deletion_leaves_nothing_behind(services: Services, face: Path) -> None:
    people = (Character(name="character1", faces=(face,)),)
    job_id = make(services, mode="reference", characters=people, consent=True)
    services.library.gallery.thumbnail(job_id, "local")
    services.library.gallery.pin(job_id, "local", pinned=True)
    assert len(everything(services)) == 5  # video, face, two of the sidecar, small picture
    assert services.library.delete([job_id], "local") == 1
    assert everything(services) == set() and services.jobs() == []
    assert not list(services.settings.outputs_dir.iterdir())


def test_inputs_of_others_stay(services: Services, face: Path) -> None:
    people = (Character(name="character1", faces=(face,)),)
    both = [make(services, mode="reference", characters=people, consent=True, owner=one) for one in ("local", GUEST)]
    services.library.delete(both[:1], "local")
    assert len(list(services.settings.inputs_dir.iterdir())) == 1
    services.library.delete(both[1:], GUEST)
    assert list(services.settings.inputs_dir.iterdir()) == []


def test_a_file_that_the_user_named_stays_and_so_does_what_it_leads_to(services: Services, tmp_path: Path) -> None:
    out = tmp_path / "mine.mp4"
    job_id = make(services, out=out)
    services.library.delete([job_id], "local")
    assert out.is_file() and services.jobs() == [] and len(list(services.settings.sidecars_dir.iterdir())) == 2
