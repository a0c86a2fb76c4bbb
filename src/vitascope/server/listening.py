"""The process that listens: uvicorn, told how to stop without making anybody wait."""

from __future__ import annotations

import asyncio
import logging
from types import FrameType

import uvicorn
from fastapi import FastAPI

GRACE_S = 3  # an open page would hold the service for ever
KEEP_ALIVE_S = 75


class Listener(uvicorn.Server):
    """A server that ends its streams of events as soon as it is asked to stop."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal."""
        self._app.state.broadcast.end()
        super().handle_exit(sig, frame)


def listen(app: FastAPI, host: str, port: int) -> None:
    """Serve until a signal comes; requests that run get a few seconds to end."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",  # it limits how long a request's head may be; httptools does not
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    Listener(app, config).run()


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line is of use: a page that was open when the service stopped is no error."""
    cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_off and "timeout graceful shutdown exceeded" not in record.getMessage()
