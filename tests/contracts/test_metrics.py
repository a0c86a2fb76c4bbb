"""What every metric on the shelf promises."""

import pytest

from vitascope.metrics import METRICS, Metric

NAMES = METRICS.names()


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_measures(name):
    metric = METRICS[name]
    assert issubclass(metric, Metric)
    assert metric.name == name
    assert len(metric.summary()) > 15
    assert metric.unit
    assert metric.direction in ("higher", "lower", "neither")
    assert metric.tier in ("exact", "variant", "needs weights", "published")
    assert metric.source, "a metric names its paper or upstream"
    low, high = metric.range
    assert low is None or high is None or low < high


@pytest.mark.parametrize("name", NAMES)
def test_record_survives_json(name):
    metric = METRICS[name]()
    assert type(metric).model_validate_json(metric.model_dump_json()) == metric
