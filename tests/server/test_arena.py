"""The arena over HTTP: a page without outside hosts, ballots, votes, a board."""

import re
from fractions import Fraction

import numpy as np
import pytest
from fastapi.testclient import TestClient

from vitascope.clip import Clip
from vitascope.evaluation.booth import Booth
from vitascope.evaluation.votes import VoteStore
from vitascope.media import write
from vitascope.server.arena.app import create_arena

SPAN_S = 0.5


@pytest.fixture
def client(tmp_path):
    rng = np.random.default_rng(0)
    clips = {}
    for item in ("one", "two"):
        for name in ("alpha", "beta"):
            frames = rng.integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
            clips.setdefault(item, {})[name] = write(
                Clip(frames, Fraction(8)), tmp_path / f"{item}-{name}.mp4"
            )
    booth = Booth(
        clips, {"one": "a star"}, VoteStore(tmp_path / "v.jsonl"), tmp_path / "blind", "t2v", seed=0
    )
    return TestClient(create_arena(booth))


def cast(client, rater, choose):
    ballot = client.get("/api/ballot", params={"rater": rater}).json()
    body = {"ballot": ballot["ballot"], "rater": rater, "choice": choose, "watched_s": SPAN_S}
    return client.post("/api/votes", json=body)


def test_the_page_asks_no_other_host(client):
    for path in ("/", "/static/arena.js", "/static/arena.css"):
        answer = client.get(path)
        assert answer.status_code == 200 and not re.findall(r"(?:https?:)?//[a-z]+\.[a-z]", answer.text)


def test_a_ballot_names_nobody_and_its_clips_play(client):
    answer = client.get("/api/ballot", params={"rater": "ann"})
    assert "alpha" not in answer.text and "beta" not in answer.text
    clip = client.get(answer.json()["left"])
    assert clip.headers["content-type"] == "video/mp4" and len(clip.content) > 500


def test_votes_move_the_board(client):
    for rater in ("ann", "bob"):
        for _ in range(2):
            ballot = client.get("/api/ballot", params={"rater": rater}).json()
            open_ballot = client.app.state.booth._open[ballot["ballot"]]
            choice = "left" if open_ballot.left == "alpha" else "right"
            body = {"ballot": ballot["ballot"], "rater": rater, "choice": choice, "watched_s": SPAN_S}
            assert client.post("/api/votes", json=body).status_code == 201
    board = client.get("/api/board").json()
    assert board["votes"] == 4, board
    assert [row["algorithm"] for row in board["rows"]] == ["alpha", "beta"], board
    assert board["rows"][0]["win_rate"] == 1.0 and board["rows"][0]["badge"] == "hidden"
    assert client.get("/api/votes.jsonl").text.count("\n") == 4


@pytest.mark.parametrize(
    "body, status",
    [
        ({"ballot": "nope", "rater": "ann", "choice": "left", "watched_s": 1}, 400),
        ({"ballot": "nope", "rater": "ann", "choice": "up", "watched_s": 1}, 422),
        ({"rater": "ann"}, 422),
    ],
)
def test_what_is_no_vote_is_refused(client, body, status):
    answer = client.post("/api/votes", json=body)
    assert answer.status_code == status


def test_an_unwatched_clip_is_no_vote(client):
    ballot = client.get("/api/ballot", params={"rater": "ann"}).json()
    body = {"ballot": ballot["ballot"], "rater": "ann", "choice": "left", "watched_s": 0.1}
    answer = client.post("/api/votes", json=body)
    assert answer.status_code == 400 and "play to their end" in answer.json()["error"]["message"]
    assert client.get("/clips/unknown.mp4").status_code == 400
