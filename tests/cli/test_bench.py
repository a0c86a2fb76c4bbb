"""`vitascope bench` at toy size: everything but the speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitascope.evaluation.speed.bench import Bench


def test_a_toy_model_is_timed_and_written(vitascope):
    done = vitascope(
        *("bench", "mochi", "--random-weights", "--tiny", "--device", "cpu", "--steps", 16),
        *("--rounds", 1, "--clip", "turbo", "-o", "toy"),
    )
    assert done.code == 0, done.err
    result = json.loads(Path("toy.json").read_text())
    timings = result["timings"]
    assert set(timings) == {"diffusers", "exact", "balanced", "turbo"}
    assert timings["turbo"]["num_denoiser_calls"] == timings["turbo"]["num_computed_steps"] < 16
    assert timings["turbo"]["clip_s"] and "clip_s" not in timings["exact"]
    assert timings["exact"]["relative_error"] < 1e-5
    assert "| diffusers |" in Path("toy.md").read_text() and "turbo (11 of 16)" in done.out
    assert not list(Path().rglob("*.mp4"))


def test_what_there_is_no_time_for_is_left_out_and_said(vitascope):
    done = vitascope(
        *("bench", "cogvideox-5b", "--random-weights", "--tiny", "--device", "cpu", "--steps", 16),
        *("--rounds", 1, "--minutes", 0.9, "-o", "short"),
    )
    assert done.code == 0, done.err
    result = json.loads(Path("short.json").read_text())
    assert "exact: decode" in result["left_out"], "a first decode is given a minute"
    assert result["timings"]["exact"]["steps_s"]
    assert "left out, there was no time: diffusers: decode; exact: decode" in done.out


def test_another_family_is_timed_without_its_text_encoder(vitascope):
    done = vitascope(
        *("bench", "wan2.1-t2v-1.3b", "--random-weights", "--tiny", "--device", "cpu"),
        *("--rounds", 1, "-o", "wan2.1-t2v-1.3b"),
    )
    assert done.code == 0, done.err
    timings = json.loads(Path("wan2.1-t2v-1.3b.json").read_text())["timings"]
    assert timings["exact"]["relative_error"] < 1e-5 and timings["exact"]["decode_relative_error"] < 1e-5
    assert Path("wan2.1-t2v-1.3b.md").is_file()


def test_what_was_measured_before_ctrl_c_is_there_and_said(vitascope, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Bench, "_time_decodes", interrupted)
    done = vitascope(
        *("bench", "ltx-video", "--random-weights", "--tiny", "--device", "cpu", "--rounds", 1, "-o", "ltx")
    )
    assert done.code == 130
    assert done.err == "vitascope: stopped; what was measured before is in ltx.json and ltx.md\n"
    assert json.loads(Path("ltx.json").read_text())["timings"]["exact"]["steps_s"]
    assert "- stopped before its end" in Path("ltx.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["mochi-1", "--random-weights", "--device", "cpu"], 3, "timing mochi needs a CUDA GPU"),
        (["mochi", "--random-weights", "--tiny", "-o", "no/where"], 2, "no folder 'no'"),
        (
            ["ltx-video", "--random-weights", "--tiny", "--rounds", 0],
            2,
            "leaves nothing of ltx-video to time",
        ),
        (["ltx-video", "--random-weights", "--tiny", "--memory", "9GiB"], 2, "--memory is for whole clips"),
        (["mochi"], 2, "--random-weights"),
        (["moch", "--random-weights", "--tiny", "--device", "cpu"], 2, "mochi"),
        (["mochi", "--random-weights", "--clip", "turb"], 2, "turbo"),
        (["mochi", "--random-weights", "--memory", "much"], 2, "24GiB"),
        (["ltx-video", "--random-weights", "--clip", "exact"], 2, "leave --clip out"),
        (["ltx-video", "--random-weights", "--tiny", "--size", "64x64"], 2, "--tiny has a size of its own"),
        (["mochi", "--random-weights", "--device", "cpu"], 3, "CUDA GPU"),
        (
            ["mochi", "--random-weights", "--tiny", "--device", "cpu", "--memory", "1KiB"],
            2,
            "no effect on cpu",
        ),
        (["mochi", "--random-weights", "--device", "cpu", "--memory", "24GiB"], 3, "CUDA GPU"),
        (["mochi", "--random-weights", "--tiny", "-o", ""], 2, "names no file"),
    ],
)
def test_asked_wrongly_or_on_a_machine_without_a_gpu(vitascope, arguments, code, words):
    done = vitascope("bench", *arguments)
    assert done.code == code
    assert words in done.err and done.err.count("\n") == 1
