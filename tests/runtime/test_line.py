from __future__ import annotations

import pytest

from wan_app.runtime.line import Line, Slot


def filled(names):
    """A line of jobs named by owner and number: "a1 a2 b1"."""
    line = Line()
    for place, name in enumerate(names.split()):
        line.add(name, name[0], line.slot_for(name[0], place))
    return line


def called(line):
    return " ".join(line.call() for _ in range(len(line)))


def test_one_owner_first_come_first_served():
    assert called(filled("a1 a2 a3")) == "a1 a2 a3"


def test_owners_take_turns():
    assert called(filled("a1 a2 a3 a4 b1 c1 c2")) == "a1 b1 c1 a2 c2 a3 a4"


def test_who_comes_late_waits_for_one_turn_and_no_longer():
    line = filled("a1 a2 a3 a4")
    assert [line.call(), line.call()] == ["a1", "a2"]
    line.add("b1", "b", line.slot_for("b", 9))
    assert line.ids() == ["a3", "b1", "a4"]


@pytest.mark.parametrize("job, to, expected", [
    ("a3", "front", "a3 b1 a1 b2 a2"), ("a3", "up", "a1 b1 a3 b2 a2"), ("a1", "down", "a2 b1 a1 b2 a3"),
    ("a3", "a1", "a3 b1 a1 b2 a2"), ("a1", "a3", "a2 b1 a1 b2 a3"), ("a1", "a2", "a1 b1 a2 b2 a3"),
    ("a1", "back", "a2 b1 a3 b2 a1"), ("a1", "up", "a1 b1 a2 b2 a3"), ("a3", "down", "a1 b1 a2 b2 a3"),
])
def test_a_move_changes_nothing_for_others(job, to, expected):
    line = filled("a1 a2 a3 b1 b2")
    before = line.slots()
    changed = dict(line.move(job, to))
    assert {one: slot for one, slot in line.slots().items() if slot != before[one]} == changed
    assert not {"b1", "b2"} & set(changed)
    assert called(line) == expected


def test_a_move_is_to_a_place_of_ones_own():
    line = filled("a1 a2 b1")
    assert line.can_move("a1", "front") and line.can_move("a1", "a2")
    for job, to in (("a1", "a1"), ("a1", "b1"), ("a1", "x"), ("x", "front"), ("x", "a1"), ("a1", "sideways")):
        assert not line.can_move(job, to)


def test_an_order_from_elsewhere_is_taken_over():
    line, other = filled("a1 a2 a3"), filled("a1 a2 a3 a4")
    other.move("a3", "front")
    assert line.differs(other.slots())
    line.take(other.slots())
    assert called(line) == "a3 a1 a2"


def test_a_move_can_be_undone():
    line = filled("a1 a2 a3")
    before = line.slots()
    line.move("a3", "front")
    line.restore(before)
    assert called(line) == "a1 a2 a3"


def test_turns_go_on_where_they_were_before_a_restart():
    line = Line()
    for number in range(3):
        line.add(f"a{number}", "a", Slot(40 + number, number))
    line.add("b0", "b", line.slot_for("b", 9))
    assert line.ids() == ["a0", "b0", "a1", "a2"]
