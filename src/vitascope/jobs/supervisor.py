"""Starts worker processes, starts them again when they die, and ends those that have frozen."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError

from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger, Slot
from vitascope.jobs.tables import in_one_line
from vitascope.jobs.watch import DEAD_AFTER_S, Pulse
from vitascope.settings import Settings

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.5
START_GRACE_S = 60.0  # imports and migrations come before the first heartbeat
MAX_BACKOFF_S = 30.0


@dataclass
class Post:
    """One slot and the process that fills it."""

    slot: str
    process: subprocess.Popen[bytes]
    started_at: float = field(default_factory=time.monotonic)
    not_before: float = 0.0
    num_quick_deaths: int = 0


class Supervisor:
    """Keeps `slots` filled; `arguments` go to each worker process as they are.

    `cards`: for each slot the GPUs that its process may see, such as "0" or "2,3"; without, all of them.
    """

    def __init__(
        self,
        house: House,
        slots: list[str],
        arguments: tuple[str, ...] = (),
        cards: Sequence[str] = (),
    ) -> None:
        self._house, self._slots, self._arguments = house, slots, arguments
        self._cards = dict(zip(slots, cards, strict=False))
        self._ledger = Ledger(house.ledger_url)
        self._pulse = Pulse(DEAD_AFTER_S)

    def run(self, asked_to_stop: threading.Event) -> None:
        """Watch until asked to stop; then the workers are asked too, and hand their jobs back."""
        posts = [Post(slot, self._start(slot)) for slot in self._slots]
        try:
            while not asked_to_stop.wait(LOOK_EVERY_S):
                beats: dict[str, Slot] | None = None
                try:
                    beats = self._ledger.slots()
                except DBAPIError as error:  # who has died is started again; who has frozen cannot be told
                    log.error("the workers cannot be watched: %s", in_one_line(error))
                else:
                    self._pulse.look()
                for post in posts:
                    self._look_after(post, beats)
        finally:
            for post in posts:
                post.process.terminate()
            for post in posts:
                try:
                    post.process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    post.process.kill()
            self._ledger.close()

    def _look_after(self, post: Post, beats: dict[str, Slot] | None) -> None:
        now, frozen = time.monotonic(), False
        if beats is not None:
            frozen = self._pulse.stopped(post.slot, beats[post.slot].beat if post.slot in beats else 0)
        if post.process.poll() is None:
            if frozen and now - post.started_at > START_GRACE_S:
                post.process.kill()
            return
        if post.not_before == 0.0:
            lived = now - post.started_at
            post.num_quick_deaths = 0 if lived > START_GRACE_S else post.num_quick_deaths + 1
            post.not_before = now + min(MAX_BACKOFF_S, 0.5 * 2 ** min(post.num_quick_deaths, 6))
        elif now >= post.not_before:
            post.process, post.started_at, post.not_before = self._start(post.slot), now, 0.0

    def _start(self, slot: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "vitascope.jobs.worker", "--house", str(self._house.root)]
        # A database's URL holds a password: other users may read a command line, not an environment.
        environment = {**os.environ, **Settings.service_environment(self._house.database, self._house.store)}
        if slot in self._cards:
            environment["CUDA_VISIBLE_DEVICES"] = self._cards[slot]
        return subprocess.Popen([*command, "--slot", slot, *self._arguments], env=environment)
