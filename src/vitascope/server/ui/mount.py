"""Puts the pages in front of the service: `/ui/en`, `/ui/zh`, and the door where a key is asked for."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitascope.errors import DependencyMissing
from vitascope.evaluation.stand import Stand
from vitascope.jobs.keys import LOCAL
from vitascope.jobs.office import Office
from vitascope.server.access import Gate
from vitascope.server.arena.app import create_arena, create_scoring
from vitascope.server.documents import document
from vitascope.server.envelope import enveloped
from vitascope.server.ui import fragments
from vitascope.server.ui.desk import Desk
from vitascope.server.ui.room import Room
from vitascope.server.ui.visitor import COOKIE, CookieAsKey, Identify, identify_with, key_in
from vitascope.server.ui.words import LANGUAGES, Words

STATIC = Path(str(files("vitascope.server.ui") / "static"))
MAX_UPLOAD = "64mb"
# Gradio's page names its own site in tags for social networks, and others in examples for its API page.
FOREIGN_TAGS = re.compile(
    rb"""<meta[^>]+(?:property|name)="(?:og|twitter):[^>]*/>|<link rel="manifest"[^>]*/>"""
)
NAMESPACE = rb"www\.w3\.org/"  # of SVG: a name, not an address
# A page of ours cannot even try to reach another host. Gradio builds its templates with `Function`.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-ancestors 'self'",
        "form-action 'self'",
        "base-uri 'self'",
    )
)


def mount(app: FastAPI, office: Office, gate: Gate, stands: Mapping[str, Stand]) -> None:
    """Add the pages to the service, an arena for each stand among them; they ask for a key where its API does.

    Called before the service's own guards are added, so that those stand around the pages too.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("GRADIO_TEMP_DIR", str(office.house.root / "ui"))
    identify = identify_with(office.keys, gate.may_be_open)
    app.include_router(_doors(identify))
    app.mount("/ui/static", StaticFiles(directory=STATIC), name="ui-static")
    app.add_middleware(CookieAsKey)
    for name, stand in stands.items():
        admit = _rater_mark(gate)
        app.mount(f"/arena/{name}/scores", create_scoring(stand.scoring(), admit, home="/ui"))
        if any(len(files) > 1 for files in stand.clips().values()):
            app.mount(f"/arena/{name}", create_arena(stand.booth(), admit, home="/ui"))

    def room(language: str) -> Room:
        return Room(Desk(office), Words(language), identify, gate.slow_down, stands)

    app.add_middleware(_Door, identify=identify, room=room)


def _rater_mark(gate: Gate) -> Callable[[Request], Awaitable[str]]:
    """Lets in who has a key, as the API does; its raters' names begin with its tenant."""

    async def admit(request: Request) -> str:
        caller = await gate.admit(request, "read" if request.method == "GET" else "write")
        return "" if caller is LOCAL else f"{caller.tenant}/"

    return admit


def _built(room: Room) -> FastAPI:
    """The pages of one language as an application; Gradio takes seconds to import."""
    import gradio as gr

    from vitascope.server.ui.pages import build, theme

    return gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        build(room),
        path=f"/ui/{room.words.language}",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        max_file_size=MAX_UPLOAD,
        theme=theme(),
        css_paths=[STATIC / "style.css"],
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )


def _head(language: str) -> bytes:
    """What stands first in a page: Gradio reads the browser's language before anything that it is given runs."""
    tag = {"en": "en-US", "zh": "zh-CN"}[language]
    said = f'<script>window.vitascopeLanguage = "{tag}";</script>'
    return f'<head>{said}<script src="/ui/static/page.js"></script>'.encode()


def _doors(identify: Identify) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/ui")
    def choose(request: Request) -> RedirectResponse:
        """The language that the browser prefers."""
        preferred = request.headers.get("accept-language", "").lower()
        return RedirectResponse("/ui/zh" if preferred.startswith("zh") else "/ui/en")

    @router.get("/favicon.ico")
    def icon() -> FileResponse:
        """What a browser puts beside the title."""
        return FileResponse(STATIC / "favicon.png")

    @router.get("/ui/enter/{language}")
    def ask(language: str) -> Response:
        """Ask for the key."""
        return _key_page(language)

    @router.post("/ui/enter/{language}")
    async def enter(language: str, request: Request) -> Response:
        """Keep the key in a cookie that scripts cannot read and other sites cannot send."""
        form = await request.form(max_files=0, max_fields=4)
        key = str(form.get("key") or "").strip()
        if identify(key) is None or not key.isascii() or len(key) > 200:
            return _key_page(language, wrong=True)
        response = RedirectResponse(f"/ui/{language if language in LANGUAGES else 'en'}", status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure, path="/")
        return response

    @router.get("/ui/leave")
    def leave() -> Response:
        """Forget the key."""
        response = RedirectResponse("/ui")
        response.delete_cookie(COOKIE, path="/")
        return response

    return router


def _key_page(language: str, wrong: bool = False) -> HTMLResponse:
    words = Words(language if language in LANGUAGES else "en")
    complaint = f'<p class="vs-wrong" role="alert">{words["key_wrong"]}</p>' if wrong else ""
    others = "".join(f'<a href="/ui/enter/{code}">{escape(name)}</a>' for code, name in LANGUAGES.items())
    form = (
        f'<main class="vs-door"><form method="post">{fragments.LOGO}<h1>{words["key_title"]}</h1>'
        f'<p>{words["key_text"]}</p><label>{words["key_label"]}<input name="key" type="password" '
        f'autocomplete="current-password" required autofocus></label>{complaint}'
        f"<button>{words['key_go']}</button><nav>{others}</nav></form></main>"
    )
    page = document(
        "Vitascope",
        form,
        language=words.language,
        head='<link rel="stylesheet" href="/ui/static/style.css">',
        icon="/ui/static/favicon.png",
    )
    # without a referrer a browser would hide the form's origin, which the guard wants to see
    headers = {"referrer-policy": "same-origin", "content-security-policy": POLICY}
    return HTMLResponse(page, status_code=401 if wrong else 200, headers=headers)


class _Door:
    """Lets in who has a valid key, shows others the door, and builds the pages when they are first asked for."""

    def __init__(self, app: ASGIApp, identify: Identify, room: Callable[[str], Room]) -> None:
        self.app, self.identify, self.room = app, identify, room
        self._pages: dict[str, FastAPI] = {}
        self._building = asyncio.Lock()
        self._lives: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the service's whole life."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, partial(self._ending, send))
            return
        language = _language_of(scope)
        if language is None:
            await self.app(scope, receive, send)
            return
        key = key_in(Request(scope).headers)
        if await asyncio.to_thread(self.identify, key) is None:
            response = RedirectResponse(f"/ui/enter/{language}", status_code=303)
            await response(scope, receive, send)
            return
        if find_spec("gradio") is None:
            missing = DependencyMissing("gradio", "serve", "the web pages")
            await enveloped(503, str(missing), code=missing.code)(scope, receive, send)
            return
        pages = await self._pages_in(language)
        await pages(scope, receive, _Cleaner(send, Request(scope).headers.get("host", ""), _head(language)))

    async def _pages_in(self, language: str) -> FastAPI:
        async with self._building:
            if language not in self._pages:
                pages = await asyncio.to_thread(_built, self.room(language))
                began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                ended = asyncio.Event()
                self._lives.append((asyncio.create_task(_live(pages, began, ended)), ended))
                await began
                self._pages[language] = pages
        return self._pages[language]

    async def _ending(self, send: Send, message: Message) -> None:
        """Let the pages end before the service says that it has ended."""
        if message["type"].startswith("lifespan.shutdown."):
            for life, ended in self._lives:
                ended.set()
                if not life.done():
                    await asyncio.wait([life])
        await send(message)


async def _live(pages: FastAPI, began: asyncio.Future[None], ended: asyncio.Event) -> None:
    """The life of the pages of one language: begun and ended in one task, as its contexts ask."""
    try:
        async with pages.router.lifespan_context(pages):
            began.set_result(None)
            await ended.wait()
    except Exception as error:
        if began.done():
            raise
        began.set_exception(error)


def _language_of(scope: Scope) -> str | None:
    """The language of the pages that a request goes to; None for all else."""
    if scope["type"] != "http":
        return None
    parts = scope["path"].split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "ui" and parts[2] in LANGUAGES else None


class _Cleaner:
    """Holds back a page or its configuration until it is whole, and sends it on without foreign addresses.

    `head`: what a page's head begins with.
    """

    def __init__(self, send: Send, host: str, head: bytes) -> None:
        self._send, self._head = send, head
        own = re.escape(host.encode("latin-1", "ignore"))
        self._foreign = re.compile(
            rb"https?://(?!" + NAMESPACE + rb"|" + own + rb"/)[\w.-]+\.[a-z]{2,}[^\"'\\\s<>]*"
        )
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Take one message on its way out."""
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            message["headers"].append((b"content-security-policy", POLICY.encode()))
            message["headers"].append((b"referrer-policy", b"same-origin"))
            if headers.get(b"content-type", b"").startswith((b"text/html", b"application/json")):
                self._start = message
                return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        page, start, self._start = FOREIGN_TAGS.sub(b"", self._body), self._start, None
        if page.startswith((b"<!doctype", b'{"version"')):  # answers of a user's own keep their words
            page = self._foreign.sub(b"", page).replace(b"<head>", self._head, 1)
        kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        await self._send({**start, "headers": [*kept, (b"content-length", str(len(page)).encode())]})
        await self._send({"type": "http.response.body", "body": page})
