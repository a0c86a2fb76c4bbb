"""The page that shows the API, with every script and style from this package's own machine."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from vitascope.server.documents import document

ASSETS = "/docs/assets"
_MAY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
_BODY = f"""<div id="swagger-ui"></div>
<script src="{ASSETS}/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>"""
_PAGE = document("Vitascope API", _BODY, head=f'<link rel="stylesheet" href="{ASSETS}/swagger-ui.css">')
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


def mount(app: FastAPI) -> None:
    """Put the page at `/docs`. The package `fastapi-offline` carries Swagger UI's files."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        return
    app.mount(ASSETS, StaticFiles(directory=Path(spec.origin).parent / "static"), name="docs-assets")
    app.get("/docs", include_in_schema=False)(_page)
    app.get("/docs/start.js", include_in_schema=False)(_start)


async def _page() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"content-security-policy": _MAY})


async def _start() -> Response:
    return Response(_START, media_type="text/javascript")
