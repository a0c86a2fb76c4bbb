"""Agreement coefficients against the worked examples of their authors and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from tests.evaluation.arena import vote
from vitascope.errors import RequestError
from vitascope.evaluation.agreement import (
    gwet_ac1,
    intraclass_correlation,
    kendall_w,
    krippendorff_alpha,
    rater_reports,
    vote_table,
)

_ = np.nan
# Krippendorff 2011, part C: four observers, twelve units.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
# Shrout and Fleiss 1979, table 2: four judges of six targets.
JUDGES = [[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4], [8, 2, 8, 6, 9, 7]]


@pytest.mark.parametrize("level, alpha", [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_krippendorffs_example(level, alpha):
    assert krippendorff_alpha(OBSERVERS, level) == pytest.approx(alpha, abs=5e-4)


def test_icc_of_shrout_and_fleiss():
    single, mean = intraclass_correlation(JUDGES)
    assert single == pytest.approx(0.29, abs=0.005)
    assert mean == pytest.approx(0.62, abs=0.005)


def test_ac1_of_two_raters_is_gwets_formula():
    """118 of 125 agree on yes, 2 on no: kappa is about 0.4, AC1 0.95."""
    pairs = [(1, 1)] * 118 + [(1, 0)] * 3 + [(0, 1)] * 2 + [(0, 0)] * 2
    ratings = np.array(pairs, float).T
    agreed, yes = 120 / 125, (121 + 120) / 250
    chance = 2 * yes * (1 - yes)
    assert gwet_ac1(ratings) == pytest.approx((agreed - chance) / (1 - chance))
    assert gwet_ac1(ratings) > 0.95 > 0.5 > krippendorff_alpha(ratings)


def test_kendalls_w_goes_with_friedmans_test():
    ratings = np.random.default_rng(0).integers(1, 6, (7, 9)).astype(float)
    statistic = stats.friedmanchisquare(*ratings.T).statistic
    assert kendall_w(ratings) == pytest.approx(statistic / (7 * 8))
    assert kendall_w([[1, 2, 3], [1, 2, 3]]) == pytest.approx(1)


@pytest.mark.parametrize("coefficient", [krippendorff_alpha, gwet_ac1, intraclass_correlation, kendall_w])
def test_nothing_to_agree_on_is_refused(coefficient):
    with pytest.raises(RequestError):
        coefficient([[1.0, 1.0, 1.0]])


def test_a_constant_answer_has_no_alpha():
    with pytest.raises(RequestError, match="every answer is the same"):
        krippendorff_alpha([[1, 1, 1], [1, 1, 1]])


def test_rater_reports_find_side_bias_and_inconsistency():
    votes = [vote(choice="left", item=f"item-{n}", rater="lefty") for n in range(30)]
    votes += [vote(choice=("left", "right")[n % 2], item=f"item-{n}", rater="careful") for n in range(30)]
    votes += [
        vote("b", "a", ("right", "left")[n % 2], f"item-{n}", "careful", repeat=True) for n in range(10)
    ]
    votes += [vote(choice=("left", "right")[n % 2], item=f"item-{n}", rater="random") for n in range(10)]
    votes += [vote("b", "a", "right", f"item-{n}", "random", repeat=True) for n in range(1, 10, 2)]
    careful, lefty, rolling = rater_reports(votes)
    assert careful.trusted and careful.self_agreement == 1 and careful.left_share == 0.5
    assert not lefty.trusted and lefty.left_p == pytest.approx(stats.binomtest(30, 30).pvalue)
    assert not rolling.trusted and rolling.self_agreement == 0


def test_vote_table_lines_up_the_same_pair_with_sides_swapped():
    votes = [vote("a", "b", "left"), vote("b", "a", "right", rater="bob"), vote("a", "b", "tie", "item-1")]
    assert vote_table(votes) == pytest.approx(np.array([[1, 0.5], [1, np.nan]]), nan_ok=True)
