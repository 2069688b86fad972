"""The space for videos: the oldest unpinned go first, and only an owner's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.library.conftest import make, opened
from wan_app.errors import InvalidRequest
from wan_app.services import Services


def ids(services: Services, owner: str = "local") -> list[str]:
    return [job.id for job in services.jobs(owner=owner)]


def limit_to(services: Services, results: float) -> None:
    """Room for so many results like the last one."""
    size = services.jobs()[-1].file.stat().st_size  # type: ignore[union-attr]
    services.library.quota._store.remember("quota_bytes", str(int(size * results)))


def test_without_a_limit_all_stay(services: Services) -> None:
    made = [make(services) for _ in range(2)]
    assert services.library.quota.keep() == [] and ids(services) == made
    usage = services.library.quota.usage("local")
    assert usage.results == 2 and usage.bytes > 0 and usage.quota is None


def test_the_oldest_unpinned_goes_first(services: Services) -> None:
    made = [make(services) for _ in range(4)]
    services.library.gallery.pin(made[0], "local", pinned=True)
    limit_to(services, 2.5)
    assert services.library.quota.keep() == made[1:3] and ids(services) == [made[0], made[3]]
    assert services.library.quota.usage("local").pinned_bytes > 0


def test_the_newest_stays_even_if_it_is_too_large(services: Services) -> None:
    made = [make(services) for _ in range(2)]
    limit_to(services, 0.5)
    services.library.quota.keep()
    assert ids(services) == made[1:]


def test_nobody_pushes_out_the_videos_of_others(services: Services) -> None:
    mine = make(services)
    theirs = [make(services, owner="visitor:1") for _ in range(2)]
    limit_to(services, 1.5)
    assert services.library.quota.keep() == theirs[:1] and ids(services) == [mine]


def test_files_that_somebody_named_do_not_count(services: Services, tmp_path: Path) -> None:
    named = make(services, out=tmp_path / "mine.mp4")
    kept = make(services)
    limit_to(services, 1.5)
    assert services.library.quota.keep() == [] and ids(services) == [named, kept]


@pytest.mark.parametrize("wrong", [-1, float("nan"), "many", True, 1e9, 0.001])
def test_limits_that_are_none(services: Services, wrong: object) -> None:
    with pytest.raises(InvalidRequest, match="^quota: got"):
        services.library.quota.set(wrong)  # type: ignore[arg-type]


def test_a_limit_set_here_outlives_the_process_and_the_environment(services: Services, tmp_path: Path) -> None:
    services.library.quota.set(2.5)
    again = opened(services.settings.data_dir, quota_bytes=7)
    assert again.library.quota.limit == 2_500_000_000
    again.library.quota.set(0)
    assert again.library.quota.limit is None
    again.close()
    other = opened(tmp_path / "new", quota_bytes=7)
    assert other.library.quota.limit == 7
    other.close()
