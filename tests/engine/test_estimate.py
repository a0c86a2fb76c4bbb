"""Predictions: from a model's sizes and measured rates, without weights and without a GPU."""

import json
from pathlib import Path

import pytest

from vitascope.engine.calibration import committed
from vitascope.engine.estimate import Wanted, estimate
from vitascope.engine.placement import Placement
from vitascope.engine.workload import StepWork, published
from vitascope.errors import OutOfMemory, RequestError, ResourceError

WHOLE = Wanted(width=848, height=480, num_frames=163, num_inference_steps=50)
MOCHI = published()["mochi-1"]


def predicted(wanted=WHOLE, sizes=MOCHI, device="H200", **placed):
    return estimate(
        sizes, wanted, Placement(device="cuda", dtype="bfloat16", **placed), committed().gpu(device)
    )


def test_arithmetic_agrees_with_counting_by_hand():
    assert MOCHI.num_tokens(848, 480, 163) == 44520
    work = StepWork.of(MOCHI, 44520, samples=2)
    # 28 x 30 x 53 tokens; 0.970 and 2.345 PFLOP counted in facts of the prototype
    assert work.linears == pytest.approx(0.970e15, rel=0.01)
    assert work.attention == pytest.approx(2.345e15, rel=0.01)
    five = published()["cogvideox-5b"]
    assert five.num_tokens(720, 480, 49) == 17550
    assert published()["cogvideox-1.5-5b"].num_tokens(1360, 768, 81) == 11 * 48 * 85


@pytest.mark.parametrize("name", [name for name in published() if "1.5" not in name])
def test_sizes_agree_with_diffusers(name):
    """The parameters that formulas count are the ones in the blocks' linears."""
    sizes = published()[name]
    counted = sizes.num_layers * sizes.linears_per_token / 2
    if sizes.family == "mochi":
        assert sizes.fp8_billions == pytest.approx(
            5.2093, rel=1e-3
        )  # counted by `quantize.num_fp8_parameters`
    else:
        assert counted < sizes.billions.denoiser * 1e9


def test_more_gpus_take_less_time_and_no_more_memory():
    one, two, four, eight = (predicted(gpus=gpus) for gpus in (1, 2, 4, 8))
    assert one.total_s > two.total_s > four.total_s > eight.total_s
    assert one.peak_gib >= two.peak_gib >= four.peak_gib >= eight.peak_gib
    assert four.layout.described() == "cfg 2 x ulysses 2"
    assert 3.3 < one.seconds_per_step / four.seconds_per_step < 4


def test_each_speed_word_is_faster_than_the_one_before():
    exact, balanced, turbo = (predicted(speed=speed) for speed in ("exact", "balanced", "turbo"))
    assert exact.total_s > balanced.total_s > turbo.total_s
    assert exact.num_computed_steps == 50 > turbo.num_computed_steps
    assert balanced.weights_gib["denoiser"] < exact.weights_gib["denoiser"]


def test_half_a_step_is_predicted_where_one_prompt_is_asked_and_what_a_cache_keeps():
    whole, half = predicted(), predicted(guidance_interval=(0, 0.5))
    assert half.seconds["denoise"] == pytest.approx(0.75 * whole.seconds["denoise"])
    cached = predicted(cache="first-block")
    assert cached.seconds == whole.seconds and "depends on the clip" in " ".join(cached.because)
    assert cached.gib["denoise"] - whole.gib["denoise"] == pytest.approx(5 * 2 * 44520 * 3072 * 2 / 2**30)
    assert predicted(cache="taylor", skip_interval=3).num_computed_steps == 23


def test_a_memory_limit_changes_the_placement_and_is_kept():
    free, limited = predicted(speed="balanced"), predicted(speed="balanced", memory_gib=24)
    assert limited.levers.offload != "placement"
    assert limited.peak_gib <= 24 < free.peak_gib
    with pytest.raises(OutOfMemory, match="too little"):
        predicted(memory_gib=3)


def test_a_plan_says_that_sage_is_taken_and_how_long_it_takes():
    here = committed().gpu("H200").model_copy(update={"sage": None})
    balanced = Placement(device="cuda", dtype="bfloat16", speed="balanced")
    with_sage, ours = (estimate(MOCHI, WHOLE, balanced, gpu) for gpu in (here, committed().gpu("H200")))
    assert any("SageAttention2 (8-bit), which speed='balanced' allows" in line for line in with_sage.because)
    assert with_sage.seconds_per_step == pytest.approx(4.19, rel=0.05)
    assert with_sage.total_s == pytest.approx(ours.total_s, rel=0.01)
    asked = balanced.model_copy(update={"attention": "int8"})
    assert any(
        "8-bit with smoothing, as asked" in line for line in estimate(MOCHI, WHOLE, asked, here).because
    )


def test_what_was_not_measured_gets_no_time_but_a_reason():
    made = predicted(attention="cudnn")
    assert made.seconds is None and made.total_s is None
    assert any("not measured" in line for line in made.because)
    assert made.peak_gib > 30
    on_cpu = estimate(MOCHI, WHOLE, Placement(device="cpu", dtype="float32"), None)
    assert on_cpu.seconds is None and on_cpu.device == "CPU"


def test_impossible_placements_are_refused():
    with pytest.raises(RequestError, match="gpus=3"):
        predicted(gpus=3, cfg_degree=2)
    with pytest.raises(ResourceError, match="CUDA"):
        estimate(MOCHI, WHOLE, Placement(device="cpu", dtype="float32", attention="fa3"), None)


def rows():
    """What was measured after the calibration was committed."""
    folder = Path(__file__).parents[2] / "benchmarks" / "results"
    for file in sorted(folder.glob("*-plan-error.json")):
        yield from json.loads(file.read_text())["rows"]


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row["name"])
def test_committed_rows_are_within_fifteen_per_cent(row):
    made = estimate(
        published()[row["model"]],
        Wanted(**row["wanted"]),
        Placement(device="cuda", dtype="bfloat16", **row["placement"]),
        committed().gpu(row["device"]),
    )
    assert made.seconds_per_step == pytest.approx(row["measured"]["seconds_per_step"], rel=0.15)
