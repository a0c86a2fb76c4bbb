"""Sends webhooks: finds jobs that have ended, notes who wants to know, and retries until the receiver accepts."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.exc import DBAPIError

from vitascope.errors import VitascopeError
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.outside import Outside
from vitascope.jobs.tables import in_one_line
from vitascope.jobs.webhooks import Delivery, Endpoint, Webhooks, signed_headers

log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
NUM_SENDERS = 8  # a receiver that hangs holds up one of them


class Announcer:
    """Runs in the process that serves; several may run, and one event still goes out from one of them."""

    def __init__(self, ledger: Ledger, outside: Outside) -> None:
        self._ledger, self._outside = ledger, outside
        self._webhooks = Webhooks(ledger.engine)

    def run(self, asked_to_stop: threading.Event) -> None:
        """Work until asked to stop."""
        with ThreadPoolExecutor(NUM_SENDERS, thread_name_prefix="webhook") as pool:
            while not asked_to_stop.wait(LOOK_EVERY_S):
                try:
                    self.announce()
                    list(pool.map(lambda due: self.send(*due), self._webhooks.claim_due()))
                except DBAPIError as error:
                    log.error("nobody can be told of ended jobs: %s", in_one_line(error))
                except Exception:
                    log.exception("the announcer stumbled")

    def announce(self) -> None:
        """Write down the events of jobs that have ended since the last look."""
        for job in self._ledger.unannounced():
            self._webhooks.announce(job, self._ledger.announcement(job.id))

    def send(self, delivery: Delivery, endpoint: Endpoint) -> None:
        """Try one delivery and note how it went."""
        status, error = self.post(endpoint, delivery.id, delivery.body)
        self._webhooks.note(delivery, status, error)

    def post(self, endpoint: Endpoint, message_id: str, body: str) -> tuple[int | None, str | None]:
        """The receiver's status, or why there is none."""
        headers = signed_headers(endpoint, message_id, body)
        try:
            status, _ = self._outside.request(
                "POST", endpoint.url, "url", headers=headers, content=body.encode(), max_bytes=2**16
            )
        except VitascopeError as error:
            return None, str(error)[:300]
        return status, None if 200 <= status < 300 else f"the receiver answered {status}"
