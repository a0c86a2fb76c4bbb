"""What of VBench can be measured here is said dimension by dimension."""

from vitascope.evaluation.vbench import VBENCH
from vitascope.evaluation.vbench_coverage import NEEDS
from vitascope.metrics import METRICS


def test_every_dimension_is_accounted_for():
    assert set(NEEDS) == set(VBENCH.dimensions)
    for need in NEEDS.values():
        assert need.metric or need.file, "measured, or the file that it needs"
        assert need.metric is None or need.variant is None


def test_metrics_named_are_on_the_shelf_in_the_right_tier():
    for need in NEEDS.values():
        if need.metric:
            assert METRICS[need.metric].tier == ("exact" if need.file is None else "needs weights")
        if need.variant:
            assert METRICS[need.variant].tier == "variant"


def test_only_flickering_is_exact_without_weights():
    assert [name for name, need in NEEDS.items() if need.status.startswith("measured exactly")] == [
        "temporal_flickering"
    ]
    assert NEEDS["imaging_quality"].status.startswith("not measured, needs musiq_spaq_ckpt")
