"""Scores from 1 to 5: the booth, the board, intervals that cover."""

import numpy as np
import pytest
from pydantic import ValidationError

from tests.evaluation.arena import NOON
from vitascope.clip import Clip
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.evaluation.opinion_board import SCREENED_FROM, clustered_mean, rate_opinions
from vitascope.evaluation.opinion_booth import OpinionBooth
from vitascope.evaluation.opinion_scores import correlation_with_others, mean_opinion, weigh_raters
from vitascope.evaluation.opinion_sections import opinion_section
from vitascope.evaluation.opinions import Opinion, OpinionStore
from vitascope.media import read_recipe, write


def opinion(score, item="item-0", algorithm="a", rater="ann", **more):
    return Opinion(task="t2v", item=item, algorithm=algorithm, score=score, rater=rater, at=NOON, **more)


def panel(raters=6, items=10, seed=0, noise=0.6, odd=()):
    rng = np.random.default_rng(seed)
    quality = {"good": 4.2, "fair": 3.0, "bad": 1.9}
    return [
        opinion(
            int(rng.integers(1, 6) if r in odd else np.clip(round(q + rng.normal(0, noise)), 1, 5)),
            f"item-{i}",
            name,
            f"rater-{r}",
        )
        for r in range(raters)
        for i in range(items)
        for name, q in quality.items()
    ]


def test_a_clean_panel_ranks_by_quality_with_intervals_that_hold_it():
    board = rate_opinions(panel())
    assert [row.name for row in board.rows] == ["good", "fair", "bad"]
    assert all(row.low < row.mean < row.high and row.raters == 6 and row.items == 10 for row in board.rows)
    fair = board.rows[1]
    assert fair.low < 3.0 < fair.high and abs(fair.weighed - fair.mean) < 0.2
    assert sum(fair.shares) == pytest.approx(1)
    assert board.alpha > 0.6 and board.icc_mean > 0.9
    assert all(rater.is_in_step and not rater.left_out for rater in board.raters)


def test_who_scores_at_random_is_named_by_a_small_panel_and_left_out_by_a_large_one():
    small = rate_opinions(panel(raters=8, odd={2}))
    assert [rater.rater for rater in small.raters if not rater.is_in_step] == ["rater-2"]
    assert not any(rater.left_out for rater in small.raters) and "nobody is left out" in small.notes[0]
    large = rate_opinions(panel(raters=SCREENED_FROM + 9, items=20, odd={2}, noise=0.3))
    assert [rater.rater for rater in large.raters if rater.left_out] == ["rater-2"]
    assert all(row.raters == SCREENED_FROM + 8 for row in large.rows)


def test_the_interval_knows_that_prompts_and_raters_cluster():
    rng, hits, plain_hits, runs = np.random.default_rng(1), 0, 0, 400
    for _ in range(runs):
        scores = rng.normal(0, 0.5, 12)[None] + rng.normal(0, 0.4, 8)[:, None] + rng.normal(0, 0.6, (8, 12))
        mean, reach = clustered_mean(scores)
        hits += abs(mean) < reach
        plain_hits += abs(mean) < 1.96 * scores.std(ddof=1) / np.sqrt(scores.size)
    assert 0.93 <= hits / runs <= 0.99
    assert plain_hits / runs < 0.7, "what taking opinions as independent would give"


def test_a_hidden_reference_gives_differences_by_the_same_rater_and_prompt():
    given = {"reference": (5, 3), "good": (5, 3), "bad": (2, 2)}
    opinions = [
        opinion(score, f"item-{i}", name, rater)
        for name, scores in given.items()
        for i, score in enumerate(scores)
        for rater in ("ann", "bob")
    ]
    board = rate_opinions([*opinions, opinion(1, "item-9", "good")])  # no reference of that item
    found = {row.name: row.differential for row in board.rows}
    assert found == {"reference": None, "good": 5.0, "bad": 3.0}
    assert "Against the reference (DMOS)" in opinion_section(board)
    assert "DMOS" not in opinion_section(rate_opinions(panel()))


def test_one_rater_or_one_prompt_has_no_interval():
    board = rate_opinions([opinion(4), opinion(2, "item-1")])
    assert board.rows[0].mean == 3 and board.rows[0].low is None and board.rows[0].weighed is None
    assert board.alpha is None and board.icc_mean is None


def test_weighing_beats_the_mean_with_few_raters_too():
    rng, weighed, plain = np.random.default_rng(0), [], []
    for _ in range(100):
        quality, noise = rng.uniform(1.5, 4.5, 16), rng.uniform(0.3, 1.2, 5)
        scores = quality + rng.normal(0, 0.3, 5)[:, None] + noise[:, None] * rng.normal(0, 1, (5, 16))
        for found, errors in ((weigh_raters(scores).quality, weighed), (mean_opinion(scores).mean, plain)):
            errors.append((found - found.mean() - quality + quality.mean()).std())
    assert np.mean(weighed) < 0.95 * np.mean(plain)


def test_correlation_is_with_the_others_and_has_gaps():
    with_gaps = [1, np.nan, np.nan, 2]
    scores = np.array([[1.0, 2, 3, 4], [1, 2, 3, 5], [2, 3, 3, 4], [4, 3, 2, 1], [3, 3, 3, 3], with_gaps])
    found = correlation_with_others(scores)
    assert found[0] > 0.9 and found[3] < -0.9
    assert np.isnan(found[4]) and np.isnan(found[5])


@pytest.mark.parametrize(
    "opinions, complaint",
    [
        ([], "of none"),
        ([opinion(3), opinion(4)], "'ann' has already scored 'a' for item 'item-0'"),
        ([opinion(3), opinion(3, item="x").model_copy(update={"task": "i2v"})], "i2v, t2v"),
    ],
)
def test_what_is_no_board_is_refused(opinions, complaint):
    with pytest.raises(RequestError, match=complaint):
        rate_opinions(opinions)


def test_a_score_is_one_of_five():
    for score in (0, 6, 2.5):
        with pytest.raises(ValidationError):
            opinion(score)


@pytest.fixture
def booth(tmp_path):
    clips = {}
    for n, item in enumerate(("star", "moon", "sun")):
        for m, name in enumerate(("alpha", "beta")):
            frames = np.random.default_rng(2 * n + m).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
            clips.setdefault(item, {})[name] = write(Clip(frames, 8), tmp_path / f"{item}-{name}.mp4")
    store = OpinionStore(tmp_path / "opinions.jsonl")
    return OpinionBooth(clips, {"star": "a star"}, store, tmp_path / "blind", "t2v", seed=2)


def test_every_clip_is_scored_once_nameless_and_not_two_of_one_prompt_in_a_row(booth):
    seen = []
    while True:
        try:
            slip = booth.slip("ann")
        except RequestError as error:
            assert "has scored all 6 clips" in str(error)
            break
        path = booth.file(slip.clip)
        assert "alpha" not in str(path) and not (read_recipe(path) and read_recipe(path).stages)
        with pytest.raises(RequestError, match="play to its end"):
            booth.give(slip.id, "ann", 4, 0.1)
        shown = booth.give(slip.id, "ann", 4, 0.5)
        assert shown.algorithm in ("alpha", "beta")
        seen.append(slip.item)
        with pytest.raises(NotFound):
            booth.give(slip.id, "ann", 4, 0.5)
    fresh = [entry for entry in booth.opinions.read() if entry.is_counted]
    assert len({(entry.item, entry.algorithm) for entry in fresh}) == len(fresh) == 6
    assert seen[0] != seen[1] != seen[2] != seen[3]


def test_hidden_repetitions_come_measure_the_rater_and_never_count(booth, monkeypatch):
    monkeypatch.setattr("vitascope.evaluation.opinion_booth.REPEAT_SHARE", 0.7)
    for rater in ("ann", "bob"):
        while True:
            try:
                slip = booth.slip(rater)
            except RequestError:
                break
            booth.give(slip.id, rater, 3, 0.5)
    opinions = booth.opinions.read()
    repeats = [entry for entry in opinions if entry.repeat]
    assert repeats and len(opinions) - len(repeats) == 12
    board = rate_opinions(opinions)
    assert sum(row.opinions for row in board.rows) == 12
    assert 0.0 in {rater.repeat_error for rater in board.raters}


def test_a_changed_opinion_is_found(tmp_path):
    store = OpinionStore(tmp_path / "o.jsonl")
    store.extend([opinion(3), opinion(4, "item-1")])
    store.path.write_text(store.path.read_text().replace('"score": 3', '"score": 5'))
    with pytest.raises(InvalidMedia, match="line 1: this opinion or one before it was changed"):
        store.read()
