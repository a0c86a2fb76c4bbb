"""The voting booth: blind, watched to the end, checked, written once."""

from fractions import Fraction

import numpy as np
import pytest

from vitascope.clip import Clip
from vitascope.errors import NotFound, RequestError
from vitascope.evaluation.agreement import rater_reports
from vitascope.evaluation.blinding import spoil
from vitascope.evaluation.booth import SPOILT, Booth
from vitascope.evaluation.votes import VoteStore
from vitascope.media import read, read_recipe, write
from vitascope.recipe import Recipe, Stage

ITEMS = ("star", "moon", "sun")


def frames_of(seed, count=8):
    return np.random.default_rng(seed).integers(0, 255, (count, 32, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    made = Recipe().then(Stage(kind="generator", name="secret-model"))
    found = {}
    for n, item in enumerate(ITEMS):
        for m, (name, fps, count) in enumerate((("alpha", 8, 8), ("beta", 16, 24))):
            path = folder / f"{name}-{item}.mp4"
            found.setdefault(item, {})[name] = write(
                Clip(frames_of(2 * n + m, count), Fraction(fps), recipe=made), path
            )
    return found


@pytest.fixture
def booth(clips, tmp_path):
    return Booth(
        clips, {"star": "a star"}, VoteStore(tmp_path / "votes.jsonl"), tmp_path / "blind", "t2v", seed=1
    )


def vote(booth, rater, choose):
    ballot = booth.ballot(rater)
    return ballot, booth.cast(ballot.id, rater, choose(ballot), 60.0)


def test_nothing_shown_names_an_algorithm(booth):
    ballot = booth.ballot("ann")
    sides = [booth.file(token) for token in (ballot.left, ballot.right)]
    shown = [read(path) for path in sides]
    assert shown[0].fps == shown[1].fps == 16 and shown[0].num_frames == shown[1].num_frames == 16
    for path in sides:
        recipe = read_recipe(path)
        assert recipe is None or not recipe.stages
        assert "alpha" not in str(path) and b"secret-model" not in path.read_bytes()


def test_a_vote_needs_both_clips_watched_and_counts_once(booth):
    ballot = booth.ballot("ann")
    with pytest.raises(RequestError, match="play to their end"):
        booth.cast(ballot.id, "ann", "left", 0.3)
    with pytest.raises(NotFound):
        booth.cast(ballot.id, "bob", "left", 9.0)
    shown = booth.cast(ballot.id, "ann", "left", 1.0)
    assert {shown.left, shown.right} == {"alpha", "beta"} and len(shown.receipt) == 64
    with pytest.raises(NotFound):
        booth.cast(ballot.id, "ann", "left", 9.0)
    assert [v.choice for v in booth.votes.read()] == ["left"]


def test_every_pair_comes_once_and_then_only_checks(booth):
    items = set()
    for _ in range(300):
        try:
            items.add(vote(booth, "ann", lambda ballot: "left")[0].item)
        except RequestError as error:
            assert "every pair" in str(error)
            break
    counted = [v for v in booth.votes.read() if v.is_counted]
    assert items == set(ITEMS) and len(counted) == len(ITEMS)


def test_a_rater_who_prefers_spoilt_copies_is_found(clips, tmp_path):
    booth = Booth(clips, {}, VoteStore(tmp_path / "v.jsonl"), tmp_path / "blind", "t2v", seed=0)
    for _ in range(3):
        vote(booth, "ann", lambda ballot: "left")
    golds = 0
    for _ in range(400):
        try:
            ballot = booth.ballot("ann")
        except RequestError:
            continue
        left = booth._open[ballot.id].left
        golds += booth._open[ballot.id].gold
        booth.cast(ballot.id, "ann", "left" if left.endswith(SPOILT) else "right", 60.0)
    report = rater_reports(booth.votes.read())[0]
    assert golds and report.golds == golds and report.gold_share == 0.0 and not report.trusted


def test_a_spoilt_copy_is_blurred_and_held():
    frames = frames_of(0)
    worse = spoil(frames)
    assert worse.shape == frames.shape and worse.std() < 0.7 * frames.std()
    assert (worse[0] == worse[1]).all() and not (worse[1] == worse[2]).all()


def test_one_algorithm_is_no_contest(tmp_path):
    with pytest.raises(RequestError, match="two algorithms"):
        Booth({"star": {"alpha": tmp_path}}, {}, VoteStore(tmp_path / "v"), tmp_path, "t2v")
