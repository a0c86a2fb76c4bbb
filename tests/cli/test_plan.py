"""`vitascope plan`: on a machine with no GPU and no weights it says what would be done, and what that takes."""

import pytest


def test_says_what_why_and_how_much(vitascope):
    told = vitascope("plan", "mochi-1", "--frames", 163, "--steps", 50, "--gpus", 4, "--on", "h200")
    assert told.code == 0, told.err
    for words in (
        "163 frames of 848x480",
        "44520 visual tokens",
        "cfg 2 x ulysses 2",
        "FlashAttention-3",
        "at most",
    ):
        assert words in told.out
    made = vitascope("plan", "mochi-1", "--gpus", 4, "--on", "h200", "--steps", 50, "--json").json()
    assert made["layout"] == {"cfg": 2, "ulysses": 2, "ring": 1}
    assert 60 < made["total_s"] < 100 and 30 < made["peak_gib"] < 40


@pytest.mark.parametrize(
    ("model", "tokens", "pflop"),
    [
        ("wan2.1-t2v-1.3b", 32760, 0.566),  # counted module by module by `vitascope bench`
        ("wan2.1-t2v-14b", 75600, 13.05),
        ("wan2.2-ti2v-5b", 27280, 1.034),
        ("hunyuan-video", 118800, 12.04),
        ("hunyuan-video-1.5-480p-t2v", 49290, 2.72),
        ("ltx-video", 6144, 0.058),
    ],
)
def test_other_families_are_planned(vitascope, model, tokens, pflop):
    made = vitascope("plan", model, "--on", "H200", "--json").json()
    assert made["num_tokens"] == tokens and made["step_flop"] / 1e15 == pytest.approx(pflop, rel=0.02)
    assert sum(made["weights_gib"].values()) < made["peak_gib"] < 120


def test_models_that_start_from_a_picture_are_planned_too(vitascope):
    told = vitascope("plan", "cogvideox-5b-i2v", "--on", "H200", "--json").json()
    assert told["num_tokens"] == 17550 and told["fits"]


def test_says_what_does_not_fit_and_what_would_help(vitascope):
    told = vitascope("plan", "mochi-1", "--size", "3840x2160", "--on", "H100")
    assert told.code == 0 and "does not fit: " in told.out and "a smaller size" in told.out
    assert not vitascope("plan", "mochi-1", "--size", "3840x2160", "--on", "H100", "--json").json()["fits"]


def test_a_cpu_has_neither_gpus_nor_cudas_own_memory(vitascope):
    told = vitascope("plan", "mochi-1", "--on", "cpu", "--gpus", 2)
    assert told.code == 0 and "2 processes" in told.out and "GPU" not in told.out and "CUDA" not in told.out


def test_a_plan_says_what_has_no_hold_or_is_left_out(vitascope):
    assert (
        "memory_gib=24 is held to on GPUs alone"
        in vitascope("plan", "mochi-1", "--on", "cpu", "--memory", "24GiB").out
    )
    few = vitascope("plan", "mochi-1", "--speed", "turbo", "--steps", 5, "--on", "H100").out
    assert "5 steps are too few to skip any" in few and "extrapolated" not in few
    tiled, plain = (
        vitascope("plan", "mochi-1", "--on", "H100", "--set", way).out
        for way in ("vae_tiling=true", "vae_streaming=false")
    )
    assert "VAE: in tiles" in tiled and "VAE: as diffusers has it" in plain
    ring = vitascope("plan", "mochi-1", "--gpus", 8, "--set", "ring_degree=4", "--on", "H100").out
    assert "cfg 2 x ring 4" in ring and "evenly" not in ring, "24 heads go round four GPUs"


def test_memory_and_speed_change_the_plan(vitascope):
    told = vitascope("plan", "cogvideox-5b", "--speed", "turbo", "--memory", "16GiB", "--on", "H100")
    assert told.code == 0, told.err
    assert "extrapolated" in told.out and "take turns" in told.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mochi-1", "--frames", "84"], "nearest: 85"),
        (["mochi-1", "--on", "H20"], "did you mean 'H200'"),
        (["mochi-1", "--gpus", "3", "--set", "cfg_degree=2"], "gpus=3"),
        (["mochi-1", "--set", "colour=red"], "colour"),
        (["mochi-2"], "mochi-1"),
        (["colour-bars"], "no plan is made for"),
        (["mochi-1", "--memory", "much"], "much"),
        (["mochi-1", "--memory", "0"], "not a size"),
        (["mochi-1", "--on", "cpu", "--set", "device=cuda:7"], "leave one of them out"),
        (["mochi-1", "--set", "device=mps"], "mps"),
        ([""], "such as mochi-1"),
        (["mochi-1", "--on", "cpu", "--set", "offload=model"], "offload='model' needs a GPU"),
        (["mochi-1", "--set", "text_encoder_device=nowhere"], "text_encoder_device 'nowhere'"),
        (["mochi-1", "--set", "vae_slicing=true"], "no effect on one clip"),
        (["mochi-1", "--set", "guidance_interval=[0,0.5]", "--guidance", "1"], "at guidance_scale=1"),
        (["mochi-1", "--set", "skip_interval=3", "--steps", "5"], "skips none of 5 steps"),
        (
            ["mochi-1", "--set", "attention=int8", "--gpus", "7", "--on", "H100"],
            "cannot go around a ring of 7, where 'fa3'",
        ),
        (["mochi-1", "--set", "attention=sdpa", "--gpus", "7", "--on", "H100"], "cannot go around a ring"),
        (["mochi-1", "--set", "attention=model", "--gpus", "4"], "cannot be shared out as cfg 2 x ulysses 2"),
        (["mochi-1", "--set", "model=mochi-1"], "the model is the first argument"),
        (["mochi-1", "--set", "prompt=x"], "words cost nothing"),
        (["mochi-1", "--speed", "exact", "--set", "speed=turbo"], "speed is said twice: 'exact' by its flag"),
        (["mochi-1", "--set", "compile="], "--set 'compile=' has no value"),
        (["mochi-1", "--set", "seed=1", "--set", "seed=2"], "--set seed is said twice"),
        (["mochi-1", "--set", "base=sprout"], "base='sprout' has no effect on 'mochi-1'"),
        (["sprout", "--set", "revision=main"], "revision='main' has no effect on 'sprout'"),
    ],
)
def test_bad_requests_are_one_line(vitascope, arguments, words):
    told = vitascope("plan", *arguments)
    assert told.code == 2 and words in told.err
    assert len(told.err.strip().splitlines()) == 1


@pytest.mark.parametrize("memory", ["1KiB", "1MB", "8g"])
def test_too_little_memory_is_a_lack_not_a_mistake(vitascope, memory):
    told = vitascope("plan", "mochi-1", "--memory", memory)
    assert told.code == 3 and "too little" in told.err and "11." in told.err


def test_more_memory_than_there_is_changes_nothing(vitascope):
    unlimited, huge = (
        vitascope("plan", "mochi-1", "--on", "H100", "--json", *more).json()
        for more in ([], ["--memory", "1PiB"])
    )
    assert huge == unlimited
