"""The arena's routes: a page, ballots, nameless clips, votes, and the board that they add up to."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from vitascope.errors import RequestError
from vitascope.evaluation.agreement import krippendorff_alpha, rater_reports, vote_table
from vitascope.evaluation.booth import Booth
from vitascope.evaluation.leaderboard import build_board
from vitascope.evaluation.votes import Choice
from vitascope.server import envelope

_TYPES = {"arena.js": "text/javascript", "arena.css": "text/css"}


class CastVote(BaseModel):
    """Body of `POST /api/votes`. Units: watched_s in seconds, of the clip that played least."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ballot: str = Field(min_length=1, max_length=80)
    rater: str = Field(min_length=1, max_length=80)
    choice: Choice
    watched_s: float = Field(ge=0, le=86_400)


def create_arena(booth: Booth) -> FastAPI:
    """The arena of one run's clips. It holds no names of algorithms until a vote is cast."""
    app = FastAPI(title="Vitascope arena", docs_url=None, redoc_url=None)
    envelope.install(app)
    app.state.booth = booth

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return _page("arena.html")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in _TYPES:
            return PlainTextResponse("not here", status_code=404)
        return Response(_page(name), media_type=_TYPES[name])

    @app.get("/api/ballot")
    def ballot(rater: Annotated[str, Query(min_length=1, max_length=80)]) -> dict[str, Any]:
        drawn = booth.ballot(rater)
        return {
            "ballot": drawn.id,
            "prompt": drawn.prompt,
            "left": f"/clips/{drawn.left}.mp4",
            "right": f"/clips/{drawn.right}.mp4",
            "votes_cast": drawn.votes_cast,
        }

    @app.get("/clips/{token}.mp4")
    def clip(token: str) -> FileResponse:
        return FileResponse(booth.file(token), media_type="video/mp4", headers={"cache-control": "no-store"})

    @app.post("/api/votes", status_code=201)
    def cast(vote: CastVote) -> dict[str, str]:
        shown = booth.cast(vote.ballot, vote.rater, vote.choice, vote.watched_s)
        return {"left": shown.left, "right": shown.right, "receipt": shown.receipt}

    @app.get("/api/board")
    def board() -> dict[str, Any]:
        return board_of(booth)

    @app.get("/api/votes.jsonl", response_class=PlainTextResponse)
    def votes() -> str:
        path = booth.votes.path
        return path.read_text(encoding="utf-8") if path.exists() else ""

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
    }
    if not counted:
        return answer
    try:
        rows = build_board(booth.task, votes).rows
        answer["rows"] = [
            {"algorithm": row.algorithm, "badge": row.badge, **vars(row.rating)} for row in rows if row.rating
        ]
        answer["alpha"] = krippendorff_alpha(vote_table(votes))
    except RequestError as error:  # not enough votes yet to tie all algorithms together, or one rater alone
        answer["note"] = str(error)
    answer["raters"] = [vars(report) for report in rater_reports(votes)]
    return answer


def _page(name: str) -> str:
    return files("vitascope.server.arena").joinpath(name).read_text(encoding="utf-8")
