"""Which plan is chosen, what is said about it, and how it is stepped down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wan_app.devices import Machine
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.fit import tables
from wan_app.families.fit.costs import costs_of
from wan_app.families.fit.measured import Measured
from wan_app.families.fit.plan import Work, fit, plans, predict, step_down, what_would
from wan_app.families.fit.tables import CARDS, fit_tables, short_table

CPU = Machine(device="cpu", name="CPU", ram=64 * 2**30, ram_free=60 * 2**30, disk_free=10**13, tflops=0.4)
VACE = registry.get("wan2.1-vace-1.3b")
LARGE = registry.get("wan2.1-t2v-14b")


def work(spec, **changes) -> Work:
    shape = spec.shapes[0]
    usual = Work(width=shape.width, height=shape.height, num_frames=spec.default_frames,
                 num_inference_steps=spec.num_inference_steps, guided=True)  # fmt: skip
    return replace(usual, **changes)


@pytest.mark.parametrize("model_id, least", [
    ("wan2.1-t2v-1.3b", 6), ("wan2.1-vace-1.3b", 6), ("wan2.1-t2v-14b", 12), ("wan2.1-i2v-14b-480p", 12),
    ("wan2.2-t2v-a14b", 12), ("wan2.1-vace-14b", 12),
])
def test_what_the_app_promises_fits(model_id, least):
    """1.3B-class on 6 GB, 14B-class on 12 GB, at 480p."""
    spec = registry.get(model_id)
    assert fit(spec, work(spec), CPU.instead(least, 64)).fits


def test_more_room_is_never_slower_and_never_of_fewer_bits():
    for spec in (VACE, LARGE):
        small = CPU.instead(24, 64)
        large = replace(small, vram=80 * 2**30, vram_free=80 * 2**30)
        found = [fit(spec, work(spec), machine) for machine in (small, large)]
        assert found[0].predicted.minutes >= found[1].predicted.minutes
        assert found[1].plan == replace(found[1].plan, quantization="none", offload="none")


def test_every_plan_that_is_chosen_has_room():
    for gib in CARDS:
        for spec in registry.specs().values():
            machine = CPU.instead(gib, 32)
            found = fit(spec, work(spec), machine)
            if found.fits:
                assert found.predicted.vram < machine.vram_free and found.predicted.ram < machine.ram_free
            else:
                assert found.reason.startswith("Does not fit: needs at least ") and " GB " in found.reason


def test_each_offload_takes_less_of_the_card_than_the_one_before():
    machine, costs = CPU.instead(24), LARGE.costs
    sizes = [predict(LARGE, costs, Plan(device="cuda", offload=one), work(LARGE), machine).vram
             for one in ("none", "model", "group")]  # fmt: skip
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3


def test_a_larger_request_takes_more_of_everything():
    small, large = (
        predict(LARGE, LARGE.costs, Plan(device="cuda"), one, CPU.instead(80))
        for one in (work(LARGE), work(LARGE, width=1280, height=720))
    )
    assert large.vram > small.vram and large.ram > small.ram and large.minutes > 3 * small.minutes


def test_guidance_that_ends_early_saves_its_share():
    whole, short, none = (
        predict(LARGE, LARGE.costs, Plan(device="cuda"), work(LARGE, **one), CPU.instead(80), loaded=True).minutes
        for one in ({}, {"guidance_until": 0.5}, {"guided": False})
    )
    assert short == pytest.approx((whole + none) / 2, rel=0.01) and none < 0.55 * whole


def test_without_a_card_there_is_only_memory():
    found = list(plans(VACE, VACE.costs, CPU))
    assert {(one.device, one.quantization, one.offload) for one in found} == {("cpu", "none", "none")}
    spoken = fit(VACE, work(VACE), CPU)
    assert spoken.fits and "on the processor" in spoken.reason and spoken.predicted.vram == 0
    assert not fit(VACE, work(VACE), replace(CPU, ram_free=8 * 2**30)).fits


def test_int8_blocks_do_not_stream():
    found = {(one.quantization, one.offload) for one in plans(LARGE, LARGE.costs, CPU.instead(24))}
    assert ("nf4", "group") in found and ("int8", "group") not in found


def test_weights_that_are_not_here_count_on_disk():
    machine = CPU.instead(80)
    away, here = (fit(LARGE, work(LARGE), machine, here=here).predicted for here in (False, True))
    assert away.download == LARGE.download_bytes <= away.disk and here.download == 0
    full = fit(LARGE, work(LARGE), replace(machine, disk_free=10**10), here=False)
    assert not full.fits and "on disk" in full.reason


def test_a_loaded_plan_is_kept_where_a_reload_would_not_pay():
    machine, short = CPU.instead(24, 64), work(LARGE, num_frames=5, num_inference_steps=1)
    best = fit(LARGE, short, machine).plan
    other = next(one for one in plans(LARGE, LARGE.costs, machine) if one.offload == "model" and one != best
                 and one.quantization == "nf4")  # fmt: skip
    assert fit(LARGE, short, machine, current=other).plan == other
    # Hours of work are worth one.
    assert fit(LARGE, work(LARGE, num_inference_steps=100), CPU.instead(80, 64), current=other).plan != other


# --- Where nothing fits ----------------------------------------------------------------------


def test_what_would_fit_is_told_and_does_fit():
    spec, machine = registry.get("wan2.1-vace-14b"), CPU.instead(12, 64)
    asked = work(spec, width=1280, height=720)
    assert not fit(spec, asked, machine).fits
    lines = what_would(spec, asked, machine, [VACE, spec])
    assert lines == ("a smaller size: 832x480", lines[1], "a smaller model: wan2.1-vace-1.3b")
    seconds = float(lines[1].removeprefix("fewer seconds: "))
    assert fit(spec, replace(asked, num_frames=spec.frames_for(seconds)), machine).fits
    assert not fit(spec, replace(asked, num_frames=spec.frames_for(seconds) + spec.frame_step), machine).fits


def test_where_nothing_would_fit_nothing_is_promised():
    assert what_would(LARGE, work(LARGE), CPU.instead(2, 8), list(registry.specs().values())) == (
        "a smaller model: pocket",
    )
    assert what_would(LARGE, work(LARGE), CPU.instead(2, 8), [LARGE]) == ()


# --- Stepping down -----------------------------------------------------------------------------


def test_the_ladder_is_tiling_then_offload_then_weights():
    plan: Plan | None = Plan(device="cuda", vae_tiling=False)
    seen = []
    while step := step_down(plan, LARGE):
        plan, words = step
        seen.append((plan.vae_tiling, plan.offload, plan.quantization))
        assert words
    assert seen == [(True, "none", "none"), (True, "group", "none"), (True, "group", "nf4")]


def test_each_rung_takes_less_of_the_card():
    plan, machine = Plan(device="cuda", quantization="int8", vae_tiling=False), CPU.instead(24)
    sizes = [predict(LARGE, LARGE.costs, plan, work(LARGE), machine).vram]
    while step := step_down(plan, LARGE):
        plan = step[0]
        sizes.append(predict(LARGE, LARGE.costs, plan, work(LARGE), machine).vram)
    assert len(sizes) == 4 and sizes == sorted(sizes, reverse=True)


def test_without_a_card_only_tiles_help():
    assert step_down(Plan(device="cpu"), LARGE) is None
    assert step_down(Plan(device="cpu", vae_tiling=False), LARGE) is not None


def test_a_model_without_offload_steps_to_smaller_weights():
    spec = replace(registry.get("ltx-2"), costs=None)
    assert costs_of(spec).offloads == ("none",)
    step = step_down(Plan(device="cuda"), spec)
    assert step and step[0] == Plan(device="cuda", quantization="int8") and "8 bits" in step[1]


# --- Measured ------------------------------------------------------------------------------------


def test_runs_correct_the_prediction(tmp_path):
    machine = CPU.instead(24, 64)
    before = fit(VACE, work(VACE), machine)
    measured = Measured().learn(machine.name, VACE.id, before.plan, vram=1.2, seconds=2.0)
    measured.write(tmp_path)
    after = fit(VACE, work(VACE), machine, measured=Measured.read(tmp_path))
    assert after.measured and not before.measured
    assert after.predicted.vram == pytest.approx(1.2 * before.predicted.vram, rel=0.01)
    assert after.predicted.minutes == pytest.approx(2 * before.predicted.minutes, rel=0.05)


def test_new_runs_weigh_half_and_odd_ones_are_bounded():
    plan = Plan(device="cuda")
    measured = Measured().learn("x", "m", plan, seconds=2.0).learn("x", "m", plan, seconds=4.0, vram=0)
    assert measured.ratio("x", "m", plan).seconds == 3.0 and measured.ratio("x", "m", plan).vram == 1.0
    assert Measured().learn("x", "m", plan, vram=1e9).ratio("x", "m", plan).vram == 3.0


def test_a_plan_that_ran_out_of_memory_is_not_chosen_again():
    machine = CPU.instead(24, 64)
    first = fit(VACE, work(VACE), machine)
    measured = Measured().did_not_fit(
        machine.name, VACE.id, first.plan, "vram", predicted=first.predicted.vram, free=machine.vram_free
    )
    second = fit(VACE, work(VACE), machine, measured=measured)
    assert second.fits and second.plan != first.plan and not second.measured
    # A second failure adds to the first.
    half = replace(machine, vram_free=machine.vram_free // 2)
    measured = measured.did_not_fit(machine.name, VACE.id, first.plan, "vram", predicted=10**9, free=half.vram_free)
    assert measured.ratio(machine.name, VACE.id, first.plan).vram > 10


def test_how_fast_a_device_is_counts_for_other_models_too():
    measured = Measured().learn("x", "m", Plan(), seconds=2.0)
    assert measured.ratio("x", "other", Plan()).seconds == 2.0
    assert measured.ratio("y", "m", Plan()).seconds == 1.0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": {"vram": "x"}}', '{"a": {"vram": -1}}',
                                     '{"a": {"size": 1}}', '{"a": {"vram": true}}'])  # fmt: skip
def test_a_broken_file_of_measurements_is_no_measurement(tmp_path, content):
    (tmp_path / "measured.json").write_text(content)
    assert Measured.read(tmp_path) == Measured()


def test_the_table_has_a_row_for_each_model_and_a_column_for_each_card():
    lines = fit_tables(64).splitlines()
    assert all(line.count("|") == len(CARDS) + 2 for line in lines[:-2])
    assert all(any(f"`{spec.id}`" in line for line in lines) for spec in registry.specs().values() if not spec.bundled)


def test_the_committed_table_is_todays():
    committed = (Path(tables.__file__).parent / "FIT.md").read_text(encoding="utf-8")
    assert fit_tables() in committed, "python -m wan_app fit --table > wan_app/families/fit/FIT.md"


def test_the_readme_has_todays_table():
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    assert short_table() in readme, "put wan_app.families.fit.tables.short_table() there"


def test_sound_of_its_own_fits_cards_that_people_have():
    """With parts off the card; before its costs were known LTX-2 asked for 48 GB."""
    spec = registry.get("ltx-2")
    found = fit(spec, work(spec), CPU.instead(24, 64))
    assert found.fits and found.plan.offload != "none"
