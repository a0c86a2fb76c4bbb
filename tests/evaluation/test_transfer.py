"""Votes out of one run and into another: the same, all or none, never twice."""

import csv
import json

import pytest

from tests.evaluation.arena import vote
from tests.evaluation.test_opinions import opinion
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.evaluation.opinions import OpinionStore
from vitascope.evaluation.suites import Item, Suite
from vitascope.evaluation.transfer import export, import_into
from vitascope.evaluation.votes import VoteStore

SUITE = Suite(name="three", items=tuple(Item(id=f"item-{n}", prompt=f"p {n}") for n in range(3)))
CLIPS = {item.id: {"a": 1, "b": 1, "c": 1} for item in SUITE.items}
VOTES = [
    vote("a", "b"),
    vote("b", "c", "tie", item="item-1", watched_s=2.5),
    vote("c", "b", rater='bøb, "x"'),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize(
    "kind, entries", [(VoteStore, VOTES), (OpinionStore, [opinion(4), opinion(2, rater="bob", repeat=True)])]
)
def test_what_goes_out_comes_in_again(tmp_path, suffix, kind, entries):
    path = export(entries, tmp_path / f"out{suffix}")
    store = kind(tmp_path / "in.jsonl")
    assert import_into(store, path, SUITE, CLIPS) == len(entries)
    assert store.read() == entries
    with pytest.raises(RequestError, match="already"):
        import_into(store, path, SUITE, CLIPS)
    assert store.read() == entries


def test_a_runs_own_file_is_taken_too_and_one_known_vote_stops_all(tmp_path):
    first, second = VoteStore(tmp_path / "one.jsonl"), VoteStore(tmp_path / "two.jsonl")
    first.extend(VOTES)
    second.append(VOTES[1])
    with pytest.raises(RequestError, match="already voted on 'b' against 'c' for item 'item-1'"):
        import_into(second, first.path, SUITE, CLIPS)
    assert second.read() == [VOTES[1]], "all or none"
    assert import_into(VoteStore(tmp_path / "three.jsonl"), first.path, SUITE, CLIPS) == 3


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"item": "item-9"}, "line 1: the suite 'three' has no item 'item-9'"),
        ({"task": "i2v"}, "is of the task 't2v', not 'i2v'"),
        ({"left": "nobody"}, "'nobody' has no clip of item 'item-0' here"),
        ({"choice": "up"}, "line 1: vote: choice='up'"),
        ({"at": "2026-11-26T10:00:00"}, "time zone"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_vote_that_does_not_fit_is_named_with_its_line(tmp_path, change, complaint):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({**VOTES[0].model_dump(mode="json"), **change}) + "\n")
    with pytest.raises(RequestError, match=complaint):
        import_into(VoteStore(tmp_path / "votes.jsonl"), path, SUITE, CLIPS)
    assert not (tmp_path / "votes.jsonl").exists()


def test_files_that_hold_no_votes(tmp_path):
    store = VoteStore(tmp_path / "votes.jsonl")
    for name, content, complaint in (
        ("a.jsonl", "", "holds no votes"),
        ("b.jsonl", "{", "line 1: not JSON"),
        ("c.csv", "colour\nred\n", "line 2"),
        ("f.csv", 'item,rater\na,"bob\n', "line 2: unexpected end"),
        ("g.csv", f'item,rater\na,"{"x" * 200_000}"\n', "field larger"),
        ("d.txt", "", "neither .jsonl nor .csv"),
        ("e.jsonl", "[1, 2]\n", "line 1"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises((InvalidMedia, RequestError), match=complaint):
            import_into(store, tmp_path / name, SUITE, CLIPS)
    with pytest.raises(NotFound):
        import_into(store, tmp_path / "gone.csv", SUITE, CLIPS)
    with pytest.raises(RequestError, match="nothing to export"):
        export([], tmp_path / "x.csv")


def test_a_table_of_votes_opens_in_other_programs(tmp_path):
    path = export(VOTES, tmp_path / "votes.csv")
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["choice"] for row in rows] == ["left", "tie", "left"] and rows[2]["rater"] == 'bøb, "x"'
