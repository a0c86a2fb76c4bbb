"""The table of a measurement: what was run, and what is added up from its parts."""

from __future__ import annotations

import pytest

from vitascope.evaluation.speed.records import BenchResult, Timing
from vitascope.evaluation.speed.report import clip_estimate, markdown, notes, rows, step_of


@pytest.fixture
def result():
    return BenchResult(
        model="mochi",
        task={"width": 848, "height": 480, "num_frames": 163},
        num_steps=50,
        environment={"gpu": "NVIDIA H100 80GB HBM3"},
        date="2026-11-27T01:20:00Z",
        floor_step_s=4.2,
        timings={
            "exact": Timing(
                first_step_s=25.3, first_step="cold", steps_s=[5.0, 5.2, 5.0], decodes_s=[2.6], finish_s=8.0
            ),
            "balanced": Timing(steps_s=[4.0]),
            "turbo": Timing(num_computed_steps=23),
            "diffusers": Timing(steps_s=[8.0, 8.0], decodes_s=[7.0], finish_s=14.0),
        },
    )


def row_of(name, result):
    header, body = rows(result)
    cells = next(row for row in body if row[0].startswith(name))
    assert len(cells) == len(header)
    return cells


def test_diffusers_stands_first_and_all_are_compared_with_it(result):
    assert [row[0] for row in rows(result)[1]] == ["diffusers", "exact", "balanced", "turbo (23 of 50)"]
    assert row_of("exact", result)[1:5] == ["25.3 cold", "5.000", "1.60", "1.19"]


def test_a_decode_takes_what_it_takes_without_the_other_models(result):
    exact = result.timings["exact"]
    exact.decode_peak_gib, exact.decode_alone_gib = 34.3, 10.5
    header, _ = rows(result)
    assert row_of("exact", result)[header.index("decode GiB")] == "10.5"
    assert "Decode GiB: the VAE and what decoding takes, without the other models." in markdown(result)


def test_clips_that_were_not_run_are_added_up_and_marked(result):
    assert clip_estimate("diffusers", result) == 414
    assert clip_estimate("balanced", result) == 208, "every speed decodes as exact does"
    assert step_of("turbo", result) == pytest.approx(4.0 * 23 / 50)
    assert row_of("turbo", result)[-3:-1] == ["~100.0", "4.14"]


def test_a_clip_is_not_added_up_without_its_decode(result):
    result.timings["exact"].decodes_s, result.timings["exact"].finish_s = [], None
    assert clip_estimate("exact", result) is None and row_of("exact", result)[-3:-1] == ["", ""]
    assert clip_estimate("exact", result, finish_s=3.0) == 253


def test_a_clip_that_was_run_counts_as_it_was(result):
    result.timings["turbo"].clip_s, result.timings["turbo"].clip_steps_s = 120.0, [4.2, 0.0, 0.0]
    assert step_of("turbo", result) == pytest.approx(1.4)
    assert row_of("turbo", result)[-3:-1] == ["120.0", "3.45"]


def test_what_failed_or_was_left_out_is_said(result):
    result.timings["balanced"] = Timing(failed="OutOfMemory: too little")
    result.left_out = ["whole clip of exact, which takes about 260 s"]
    assert row_of("balanced", result)[1] == "failed"
    said = "\n".join(notes(result))
    assert "balanced failed: OutOfMemory: too little" in said and "whole clip of exact" in said
    assert all(f"- {note}" in markdown(result) for note in notes(result))
