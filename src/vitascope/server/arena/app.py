"""The arena's routes: pages for votes and for scores, nameless clips, and the boards that they add up to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from vitascope.errors import RequestError
from vitascope.evaluation.agreement import rater_reports, vote_agreement
from vitascope.evaluation.append_only import AppendOnly
from vitascope.evaluation.booth import Booth
from vitascope.evaluation.leaderboard import build_board
from vitascope.evaluation.opinion_board import OpinionBoard, rate_opinions
from vitascope.evaluation.opinion_booth import OpinionBooth
from vitascope.evaluation.publication import Publication, check_opinions, check_votes
from vitascope.evaluation.votes import Choice
from vitascope.server import envelope
from vitascope.server.documents import document

Admit = Callable[[Request], Awaitable[str]]
MAX_RATER = 80
_MAY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'"
_TYPES = {
    "arena.js": "text/javascript",
    "scores.js": "text/javascript",
    "stage.js": "text/javascript",
    "arena.css": "text/css",
}


class CastVote(BaseModel):
    """Body of `POST /api/votes`. Units: watched_s in seconds, of the clip that played least."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ballot: str = Field(min_length=1, max_length=80)
    rater: str = Field(min_length=1, max_length=80)
    choice: Choice
    watched_s: float = Field(ge=0, le=86_400)


class GivenOpinion(BaseModel):
    """Body of `POST /api/opinions`. Range: score 1 (bad) .. 5 (excellent). Units: watched_s in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slip: str = Field(min_length=1, max_length=80)
    rater: str = Field(min_length=1, max_length=80)
    score: int = Field(ge=1, le=5)
    watched_s: float = Field(ge=0, le=86_400)


Rater = Annotated[str, Query(min_length=1, max_length=MAX_RATER)]


async def _anybody(_: Request) -> str:
    return ""


async def _mark(request: Request) -> str:
    return await request.app.state.admit(request)


Mark = Annotated[str, Depends(_mark)]


def _named(mark: str, rater: str) -> str:
    return f"{mark}{rater}"[:MAX_RATER] if rater.strip() else rater


def create_arena(booth: Booth, admit: Admit = _anybody, home: str = "") -> FastAPI:
    """The arena of one run's clips. It holds no names of algorithms until a vote is cast.

    `admit` refuses who may not come in, and gives what stands before the names of a key's raters. `home`: the page
    that it is a part of.
    """
    app = _stage(booth, "arena", booth.votes, admit, home)

    @app.get("/api/ballot")
    def ballot(rater: Rater, mark: Mark) -> dict[str, Any]:
        drawn = booth.ballot(_named(mark, rater))
        return {
            "ballot": drawn.id,
            "prompt": drawn.prompt,
            "left": f"clips/{drawn.left}.mp4",
            "right": f"clips/{drawn.right}.mp4",
            "votes_cast": drawn.votes_cast,
        }

    @app.post("/api/votes", status_code=201)
    def cast(vote: CastVote, mark: Mark) -> dict[str, str]:
        shown = booth.cast(vote.ballot, _named(mark, vote.rater), vote.choice, vote.watched_s)
        return {"left": shown.left, "right": shown.right, "receipt": shown.receipt}

    @app.get("/api/board")
    def board(_: Mark) -> dict[str, Any]:
        return board_of(booth)

    return app


def create_scoring(booth: OpinionBooth, admit: Admit = _anybody, home: str = "") -> FastAPI:
    """The page where one run's clips are scored one by one, from 1 to 5, and their board; else as `create_arena`."""
    app = _stage(booth, "scores", booth.opinions, admit, home)

    @app.get("/api/slip")
    def slip(rater: Rater, mark: Mark) -> dict[str, Any]:
        drawn = booth.slip(_named(mark, rater))
        return {
            "slip": drawn.id,
            "prompt": drawn.prompt,
            "clip": f"clips/{drawn.clip}.mp4",
            "opinions_given": drawn.opinions_given,
            "to_give": drawn.to_give,
        }

    @app.post("/api/opinions", status_code=201)
    def give(opinion: GivenOpinion, mark: Mark) -> dict[str, str]:
        shown = booth.give(opinion.slip, _named(mark, opinion.rater), opinion.score, opinion.watched_s)
        return {"algorithm": shown.algorithm, "receipt": shown.receipt}

    @app.get("/api/board")
    def board(_: Mark) -> dict[str, Any]:
        return opinion_board_of(booth)

    return app


def _stage(
    booth: Booth | OpinionBooth, name: str, store: AppendOnly[Any], admit: Admit, home: str
) -> FastAPI:
    """What both pages need: the page itself, nameless clips, and what was written down."""
    app = FastAPI(title="Vitascope arena", docs_url=None, redoc_url=None)
    envelope.install(app)
    app.state.booth, app.state.admit = booth, admit

    @app.get("/", response_class=HTMLResponse)
    def page(_: Mark) -> HTMLResponse:
        back = f'<a href="{home}" data-text="home">Vitascope</a>' if home else ""
        parts = {"@HOME@": back, "@BOOTH@": _page(f"{name}.html"), "@NAME@": name}
        body = _page("stage.html")
        for mark, part in parts.items():
            body = body.replace(mark, part)
        head = '<link rel="stylesheet" href="static/arena.css">'
        text = document("Vitascope arena", body, head=head, attributes=' data-theme="dark"' if home else "")
        return HTMLResponse(text, headers={"content-security-policy": _MAY})

    @app.get("/static/{file}")
    def static(file: str) -> Response:
        if file not in _TYPES:
            return PlainTextResponse("not here", status_code=404)
        return Response(_page(file), media_type=_TYPES[file])

    @app.get("/clips/{token}.mp4")
    def clip(token: str, _: Mark) -> FileResponse:
        return FileResponse(booth.file(token), media_type="video/mp4", headers={"cache-control": "no-store"})

    @app.get(f"/api/{store.word}s.jsonl", response_class=PlainTextResponse)
    def written(_: Mark) -> str:
        return store.path.read_text(encoding="utf-8") if store.path.exists() else ""

    return app


def board_of(booth: Booth) -> dict[str, Any]:
    """Ratings, agreement between raters and what is known of each rater, as the page shows them."""
    votes = [vote for vote in booth.votes.read() if vote.task == booth.task]
    counted = [vote for vote in votes if vote.is_counted]
    answer: dict[str, Any] = {
        "task": booth.task,
        "votes": len(counted),
        "rows": [],
        "alpha": None,
        "note": "",
        "publication": _published(check_votes(votes)),
    }
    if not counted:
        return answer
    try:
        rows = build_board(booth.task, votes).rows
        answer["rows"] = [
            {"algorithm": row.algorithm, "badge": row.badge, **vars(row.rating)} for row in rows if row.rating
        ]
        answer["alpha"] = vote_agreement(votes)
    except RequestError as error:  # not enough votes yet to tie all algorithms together, or one rater alone
        answer["note"] = str(error)
    answer["raters"] = [vars(report) for report in rater_reports(votes)]
    return answer


def opinion_board_of(booth: OpinionBooth) -> dict[str, Any]:
    """Mean opinions, how raters agree and whether that may be published, as the page shows them."""
    opinions = [opinion for opinion in booth.opinions.read() if opinion.task == booth.task]
    if any(opinion.is_counted for opinion in opinions):
        board = rate_opinions(opinions)
    else:
        board = OpinionBoard(booth.task, (), (), None, None)
    return {
        "task": board.task,
        "rows": [vars(row) for row in board.rows],
        "raters": [vars(rater) for rater in board.raters],
        "alpha": board.alpha,
        "icc_mean": board.icc_mean,
        "notes": list(board.notes),
        "publication": _published(check_opinions(board)),
    }


def _published(publication: Publication) -> dict[str, Any]:
    return {"publishable": publication.publishable, **publication.model_dump()}


def _page(name: str) -> str:
    return files("vitascope.server.arena").joinpath(name).read_text(encoding="utf-8")
