"""What of VBench can be measured here is said dimension by dimension."""

from vitascope.evaluation.vbench import VBENCH
from vitascope.evaluation.vbench_coverage import DIMENSION_OF, NEEDS, asks_for
from vitascope.metrics import METRICS


def test_every_dimension_is_accounted_for():
    assert set(NEEDS) == set(VBENCH.dimensions)
    for need in NEEDS.values():
        assert need.metrics and need.file, "measured by something, and the benchmark's own file is named"
        assert need.metric or need.licence, "why it is not measured by the benchmark's network"
    assert len(DIMENSION_OF) == sum(len(need.metrics) for need in NEEDS.values())


def test_metrics_named_are_on_the_shelf_in_the_right_tier():
    for need in NEEDS.values():
        if need.metric:
            assert METRICS[need.metric].tier == "needs weights"
        if need.variant:
            variant = METRICS[need.variant]
            assert variant.tier == "variant" and variant.needs_weights == (need.variant_file is not None)


def test_a_status_says_what_is_wanted_and_what_stands_in():
    assert "measured by dynamic-degree where raft-things.pth is there" in NEEDS["dynamic_degree"].status
    imaging = NEEDS["imaging_quality"].status
    assert imaging.startswith("measured by imaging-quality where musiq_spaq_ckpt")
    assert "imaging-quality-clipiqa (openai/clip-vit-base-patch32) follows its rule" in imaging
    assert NEEDS["scene"].status.startswith("not measured, needs tag2text_swin_14m.pth (network not ported)")


def test_a_metric_looks_only_at_clips_of_its_dimension():
    assert asks_for("scene-blip", ["scene", "background_consistency"])
    assert not asks_for("scene-blip", ["color"])
    assert asks_for("sharpness", ["color"]) and asks_for("scene-blip", [])
