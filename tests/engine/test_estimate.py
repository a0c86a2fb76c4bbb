"""Predictions: from a model's sizes and measured rates, without weights and without a GPU."""

import json
from pathlib import Path

import pytest

from vitascope.engine.calibration import committed
from vitascope.engine.estimate import estimate
from vitascope.engine.placement import Placement
from vitascope.engine.workload import Architecture, StepWork, Wanted, published
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


@pytest.mark.parametrize(
    ("name", "transformer", "vae"),
    [
        ("mochi-1", {"num_layers": 48, "patch_size": 2}, {"temporal_compression_ratio": 6}),
        (
            "cogvideox-5b",
            {"num_layers": 42, "num_attention_heads": 48},
            {"block_out_channels": [128, 256, 256, 512]},
        ),
        (
            "cogvideox-1.5-5b",
            {"num_layers": 42, "patch_size_t": 2},
            {"block_out_channels": [128, 256, 256, 512]},
        ),
        (
            "wan2.1-t2v-1.3b",
            {"num_layers": 30, "num_attention_heads": 12, "ffn_dim": 8960, "patch_size": [1, 2, 2]},
            {"scale_factor_spatial": 8, "scale_factor_temporal": 4},
        ),
        ("hunyuan-video", {"num_layers": 20, "num_single_layers": 40, "patch_size_t": 1}, {}),
        (
            "hunyuan-video-1.5-480p-t2v",
            {"num_layers": 54, "patch_size": 1},
            {"spatial_compression_ratio": 16},
        ),
        ("ltx-video", {"num_layers": 28, "patch_size": 1}, {"spatial_compression_ratio": 32}),
    ],
)
def test_a_folder_is_read_as_the_published_model(name, transformer, vae):
    known = published()[name]
    configs = {
        "transformer": {"_class_name": known.transformer, **transformer},
        "vae": {"_class_name": known.vae, **vae},
    }
    assert Architecture.of_configs(configs, known.billions) == known
    assert Architecture.of_configs({"unet": {}}, known.billions) is None


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
    assert with_sage.seconds_per_step == pytest.approx(4.229, rel=0.05)
    assert ours.total_s < with_sage.total_s < 1.06 * ours.total_s
    asked = balanced.model_copy(update={"attention": "int8"})
    assert any(
        "8-bit with smoothing, as asked" in line for line in estimate(MOCHI, WHOLE, asked, here).because
    )


def test_heads_that_do_not_go_round_evenly_slow_all_down():
    even, uneven = (
        predicted(gpus=gpus, cfg_degree=1) for gpus in (4, 5)
    )  # of 24 heads: 6 each, and 5 at the most
    assert even.step_flop == uneven.step_flop
    assert uneven.seconds_per_step > even.seconds_per_step * 4 / 5 * 1.02


def test_streamed_blocks_keep_two_places_for_exact_ones():
    """Measured on an H200: 9.756 GiB with the text encoder."""
    assert predicted(speed="balanced", memory_gib=16).gib["text"] == pytest.approx(9.756, rel=0.01)


def test_cogvideox_streams_where_a_group_of_frames_has_room_and_tiles_where_not():
    clip = Wanted(width=720, height=480, num_frames=49, num_inference_steps=50)
    roomy, tight = (predicted(clip, published()["cogvideox-5b"], memory_gib=gib) for gib in (24, 16))
    assert (roomy.levers.vae, roomy.levers.vae_tiling) == ("stream", False)
    assert tight.levers.vae_tiling and "no tile seams" not in " ".join(tight.because)
    assert tight.peak_gib < 14 < roomy.peak_gib < 24 and tight.total_s > roomy.total_s


def test_decoders_take_what_was_counted_and_measured():
    """On H100s, as diffusers has it: 14.8 GiB beside the weights whole, 4.3 in tiles (1360x768), Mochi's tiles 17.8."""
    five = Wanted(width=720, height=480, num_frames=49, num_inference_steps=50)
    whole = predicted(five, published()["cogvideox-5b"])
    assert whole.gib["decode"] - sum(whole.weights_gib.values()) == pytest.approx(14.76, rel=0.02)
    large = Wanted(width=1360, height=768, num_frames=81, num_inference_steps=50)
    tiled = predicted(large, published()["cogvideox-1.5-5b"], vae_tiling=True)
    assert tiled.gib["decode"] - sum(tiled.weights_gib.values()) == pytest.approx(4.3, rel=0.15)
    mochi = predicted(vae_tiling=True)
    assert mochi.gib["decode"] - sum(mochi.weights_gib.values()) == pytest.approx(17.78, rel=0.15)


def test_other_cards_of_the_same_chip_get_no_times():
    gpu = committed().gpu("H100").model_copy(update={"name": "NVIDIA H100 PCIe"})
    made = estimate(MOCHI, WHOLE, Placement(device="cuda", dtype="bfloat16"), gpu)
    assert made.seconds is None and made.device == "NVIDIA H100 PCIe"


def test_a_text_encoder_elsewhere_or_in_8_bits_leaves_room():
    full, half, away = (
        predicted(**placed)
        for placed in ({}, {"text_encoder_precision": "int8"}, {"text_encoder_device": "cpu"})
    )
    assert full.peak_gib - half.peak_gib == pytest.approx(8.866 / 2, rel=0.01)
    assert full.peak_gib - away.peak_gib == pytest.approx(8.866, rel=0.01)
    assert away.seconds["text"] is None and away.seconds["denoise"] == full.seconds["denoise"]
    assert away.total_s is None


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
    for file in sorted(folder.glob("*-plan-error*.json")):
        yield from (row for row in json.loads(file.read_text())["rows"] if "wanted" in row)


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row["name"])
def test_committed_rows_are_within_fifteen_per_cent(row):
    made = estimate(
        published()[row["model"]],
        Wanted(**row["wanted"]),
        Placement(device="cuda", dtype="bfloat16", **row["placement"]),
        committed().gpu(row["device"]),
    )
    assert made.seconds_per_step == pytest.approx(row["measured"]["seconds_per_step"], rel=0.15)
    if "peak_gib" in row["measured"]:
        assert max(made.gib.values()) == pytest.approx(row["measured"]["peak_gib"], rel=0.15)
