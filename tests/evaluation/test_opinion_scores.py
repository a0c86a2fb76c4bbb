"""Opinion scores: means, screening, weighing."""

import numpy as np
import pytest
from scipy import stats

from vitascope.errors import RequestError
from vitascope.evaluation.opinion_scores import (
    differential_scores,
    mean_opinion,
    screen_raters,
    weigh_raters,
)


def panel(raters=24, clips=40, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    quality = rng.uniform(1.5, 4.5, clips)
    return quality, quality + rng.normal(0, noise, (raters, clips)), rng


def test_means_and_intervals_are_students():
    scores = np.array([[1.0, 2, np.nan], [2, 4, 5], [3, 3, np.nan]])
    result = mean_opinion(scores)
    assert result.mean.tolist() == [2, 3, 5]
    interval = stats.t.interval(0.95, 2, loc=2, scale=stats.sem([1, 2, 3]))
    assert result.half_interval[0] == pytest.approx(interval[1] - 2)
    assert np.isnan(result.half_interval[2])
    assert result.count.tolist() == [3, 3, 1]


def test_differences_are_against_the_hidden_reference():
    assert differential_scores([[3.0, 5.0]], [[5.0, 4.0]]).tolist() == [[3, 6]]


def test_screening_rejects_who_answers_at_random_and_keeps_who_is_merely_strict():
    quality, scores, rng = panel()
    scores[3] = rng.permutation(scores[3]) + rng.normal(0, 2.5, quality.size)
    scores[7] -= 0.6
    rejected = [report.rater for report in screen_raters(scores) if report.rejected]
    assert rejected == [3]


def test_screening_keeps_everybody_where_nobody_is_extreme():
    reports = screen_raters(np.full((5, 4), 3.0))
    assert not any(report.rejected for report in reports)
    assert {report.extreme_share for report in reports} == {0.0}


def test_weighing_finds_bias_and_noise_and_beats_the_plain_mean():
    quality, scores, rng = panel(raters=12, noise=0.3)
    scores[0] += 1.0
    scores[1] += rng.normal(0, 2.0, quality.size)
    result = weigh_raters(scores)
    assert result.bias.argmax() == 0 and result.bias[0] == pytest.approx(0.92, abs=0.2)
    assert result.inconsistency.argmax() == 1 and result.inconsistency[1] == pytest.approx(2, abs=0.5)
    assert np.median(result.inconsistency) == pytest.approx(0.3, abs=0.05)

    def off(estimate):
        return (estimate - estimate.mean() - quality + quality.mean()).std()

    assert off(result.quality) < 0.8 * off(mean_opinion(scores).mean)


def test_weighing_works_with_gaps():
    quality, scores, rng = panel(raters=20)
    scores[rng.random(scores.shape) < 0.3] = np.nan
    assert np.corrcoef(weigh_raters(scores).quality, quality)[0, 1] > 0.98


def test_weighing_needs_raters():
    with pytest.raises(RequestError, match="three raters"):
        weigh_raters([[1.0, 2.0], [2.0, 3.0]])
    with pytest.raises(RequestError, match="a table of raters and clips"):
        mean_opinion([1.0, 2.0])
