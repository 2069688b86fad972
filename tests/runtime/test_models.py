from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import FakePipeline
from wan_app.errors import Cancelled, ExportFailed, OutOfMemory
from wan_app.families.base import Plan
from wan_app.runtime.models import ModelManager

CPU = Plan()


@pytest.fixture
def loaded():
    return []


@pytest.fixture
def manager(loaded):
    def load(model_id, plan, weights):
        # What was loaded before must be gone by now: two models may not fit together.
        assert all(pipeline.closed for _, pipeline in loaded)
        loaded.append((model_id, FakePipeline()))
        return loaded[-1][1]

    return ModelManager(load)


def test_a_model_stays_loaded_between_leases(manager, loaded):
    for _ in range(3):
        with manager.lease("pocket", CPU) as pipeline:
            assert pipeline is loaded[0][1]
    assert len(loaded) == 1 and not pipeline.closed and manager.loaded == "pocket"
    manager.evict()
    assert pipeline.closed and manager.loaded is None


def test_another_model_plan_or_folder_takes_its_place(manager, loaded):
    for lease in (("pocket", CPU, None), ("vace", CPU, None), ("vace", Plan(device="cuda"), None),
                  ("vace", Plan(device="cuda"), Path("/weights"))):
        with manager.lease(*lease):
            pass
    assert len(loaded) == 4 and [one.closed for _, one in loaded] == [True, True, True, False]


@pytest.mark.parametrize("error, kept", [
    (Cancelled(), True), (ExportFailed("x"), True), (OutOfMemory("x"), False), (RuntimeError("x"), False),
])
def test_only_a_sound_model_is_kept_after_an_error(manager, loaded, error, kept):
    with pytest.raises(type(error)), manager.lease("pocket", CPU):
        raise error
    assert loaded[0][1].closed is not kept
    with manager.lease("pocket", CPU):
        pass
    assert len(loaded) == (1 if kept else 2)


def test_a_failed_load_leaves_room_for_the_next(loaded):
    tries = []

    def load(model_id, plan, weights):
        tries.append(model_id)
        if len(tries) == 1:
            raise OutOfMemory("too big")
        return FakePipeline()

    manager = ModelManager(load)
    with pytest.raises(OutOfMemory), manager.lease("big", CPU):
        pass
    with manager.lease("big", CPU) as pipeline:
        assert not pipeline.closed
    assert len(tries) == 2
