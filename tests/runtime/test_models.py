from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import FakePipeline
from wan_app.errors import Cancelled, ExportFailed, OutOfMemory
from wan_app.families.base import Plan
from wan_app.runtime.models import ModelManager, Room

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


# --- Several at once -------------------------------------------------------------------------


class Shelf:
    """A manager without the rule that one model is loaded at a time."""

    def __init__(self):
        self.loads, self.models = [], {}
        self.manager = ModelManager(self.load)

    def load(self, model_id, plan, weights):
        self.loads.append(model_id)
        self.models[model_id] = FakePipeline()
        return self.models[model_id]

    def use(self, model_id, need, free=10, plan=CPU):
        with self.manager.lease(model_id, plan, room=Room(need, free)):
            pass

    @property
    def open(self):
        return {name for name, one in self.models.items() if not one.closed}


def test_models_stay_while_there_is_room():
    shelf = Shelf()
    for model_id in ("a", "b", "a", "b"):
        shelf.use(model_id, need=4)
    assert shelf.loads == ["a", "b"] and shelf.open == {"a", "b"} and shelf.manager.loaded == "b"


def test_the_longest_unused_goes_first_and_only_as_many_as_must():
    shelf = Shelf()
    for model_id in ("a", "b", "a"):
        shelf.use(model_id, need=4)
    shelf.use("c", need=4)
    assert shelf.open == {"a", "c"}
    shelf.use("d", need=10)
    assert shelf.open == {"d"}


def test_a_larger_run_of_a_loaded_model_pushes_others_out():
    shelf = Shelf()
    shelf.use("a", need=4)
    shelf.use("b", need=4)
    shelf.use("a", need=8)
    assert shelf.loads == ["a", "b"] and shelf.open == {"a"}


def test_of_one_model_there_is_never_a_second_copy():
    shelf = Shelf()
    shelf.use("a", need=1)
    first = shelf.models["a"]
    shelf.use("a", need=1, plan=Plan(quantization="nf4"))
    assert first.closed and shelf.manager.plan_of("a") == Plan(quantization="nf4")
    assert shelf.manager.plan_of("a", Path("/elsewhere")) is None and shelf.manager.plan_of("b") is None


def test_an_error_of_one_model_leaves_the_others():
    shelf = Shelf()
    shelf.use("a", need=1)
    with pytest.raises(RuntimeError), shelf.manager.lease("b", CPU, room=Room(1, 10)):
        raise RuntimeError
    assert shelf.open == {"a"} and shelf.manager.loaded == "a"
