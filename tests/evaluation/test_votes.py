"""Votes and the file that only grows."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from tests.evaluation.arena import NOON, vote
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.evaluation.votes import Vote, VoteStore


@pytest.fixture
def store(tmp_path):
    return VoteStore(tmp_path / "votes.jsonl")


def test_votes_are_read_back_in_order(store):
    votes = [vote(item=f"item-{n}", choice=choice) for n, choice in enumerate(("left", "both-bad", "tie"))]
    assert store.read() == []
    receipts = [store.append(one) for one in votes]
    assert store.read() == votes
    assert len(set(receipts)) == 3


def test_a_duplicate_vote_is_refused_even_with_sides_swapped(store):
    store.append(vote("a", "b"))
    with pytest.raises(
        RequestError, match="rater 'ann' has already voted on 'a' against 'b' for item 'item-0'"
    ):
        store.append(vote("b", "a", "right"))
    store.append(vote("b", "a", "right", repeat=True))
    store.append(vote("a", "b", rater="bob"))
    assert len(store.read()) == 3


@pytest.mark.parametrize("tamper", ["change", "remove", "swap", "cut"])
def test_a_changed_removed_or_moved_line_is_found(store, tamper):
    for n in range(4):
        store.append(vote(item=f"item-{n}"))
    lines = store.path.read_text().splitlines(keepends=True)
    if tamper == "change":
        content = json.loads(lines[1])
        content["vote"]["choice"] = "right"
        lines[1] = json.dumps(content) + "\n"
    elif tamper == "remove":
        del lines[1]
    elif tamper == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[-1] = lines[-1][:20]
    store.path.write_text("".join(lines))
    with pytest.raises(InvalidMedia, match=r"votes\.jsonl', line [24]"):
        store.read()
    with pytest.raises(InvalidMedia):
        store.append(vote(item="another"))


def test_several_writers_lose_nothing(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: VoteStore(store.path).append(vote(item=f"item-{n}")), range(40)))
    assert len(store.read()) == 40


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(NotFound, match="no folder"):
        VoteStore(tmp_path / "missing" / "votes.jsonl").append(vote())


def test_share_of_the_first_does_not_depend_on_sides():
    assert vote("a", "b", "left").first_share == vote("b", "a", "right").first_share == 1
    assert vote("a", "b", "both-bad").first_share == vote("a", "b", "tie").first_share == 0.5


def test_a_vote_has_two_sides_and_a_time_zone():
    with pytest.raises(ValidationError, match="between two algorithms"):
        vote("a", "a")
    with pytest.raises(ValidationError, match="time zone"):
        Vote(**{**vote().model_dump(), "at": NOON.replace(tzinfo=None)})
