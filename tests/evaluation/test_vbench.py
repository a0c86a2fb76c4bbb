"""VBench's totals, against every published row that has all its dimensions."""

import pytest

from vitascope.errors import RequestError, UnknownName
from vitascope.evaluation.vbench import VBENCH, VBENCH_2, VBENCH_I2V, published_rows


@pytest.mark.parametrize("row", published_rows(), ids=lambda row: row.model)
def test_published_rows_are_reproduced(row):
    aggregate = VBENCH.aggregate(row.dimensions)
    assert aggregate.groups["quality"] == pytest.approx(row.quality, abs=0.01)
    assert aggregate.groups["semantic"] == pytest.approx(row.semantic, abs=0.01)
    assert aggregate.total == pytest.approx(row.total, abs=0.01)


def test_there_are_34_published_rows():
    assert len(published_rows()) == 34


def test_image_to_video_total_is_the_mean_of_its_halves():
    raw = {
        "camera_motion": 50.0,
        "i2v_subject": 100 * (0.1462 + 0.9 * (1 - 0.1462)),
        "i2v_background": 100 * (0.2615 + 0.8 * (1 - 0.2615)),
        "subject_consistency": 100 * (0.1462 + 0.7 * (1 - 0.1462)),
        "background_consistency": 100.0,
        "motion_smoothness": 99.75,
        "dynamic_degree": 20.0,
        "aesthetic_quality": 60.0,
        "imaging_quality": 70.0,
    }
    aggregate = VBENCH_I2V.aggregate(raw)
    assert aggregate.groups["i2v"] == pytest.approx((0.1 * 50 + 90 + 80) / 2.1)
    assert aggregate.groups["quality"] == pytest.approx((70 + 100 + 100 + 0.5 * 20 + 60 + 70) / 5.5)
    assert aggregate.total == pytest.approx(sum(aggregate.groups.values()) / 2)


def test_vbench_2_is_the_mean_of_five_means():
    raw = dict.fromkeys(VBENCH_2.dimensions, 50.0)
    assert len(raw) == 18
    assert VBENCH_2.aggregate(raw).total == pytest.approx(50)
    assert VBENCH_2.aggregate({**raw, "diversity": 100.0}).total == pytest.approx(55)


def test_a_missing_dimension_leaves_no_total_and_is_named():
    raw = dict(published_rows()[0].dimensions)
    del raw["scene"]
    aggregate = VBENCH.aggregate(raw)
    assert aggregate.total is None and aggregate.groups["semantic"] is None
    assert aggregate.groups["quality"] is not None
    assert aggregate.missing == ("scene",)


def test_values_beyond_the_published_range_pass_through():
    raw = {**published_rows()[0].dimensions, "motion_smoothness": 100.0}
    best = {**raw, "motion_smoothness": 99.75}
    assert VBENCH.aggregate(raw).groups["quality"] > VBENCH.aggregate(best).groups["quality"]


def test_wrong_dimensions_and_values_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'human_action'"):
        VBENCH.aggregate({"human_actions": 90.0})
    with pytest.raises(RequestError, match="scene=101"):
        VBENCH.aggregate({"scene": 101})
