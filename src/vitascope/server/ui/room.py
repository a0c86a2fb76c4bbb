"""What every page is given, and what it asks about who is at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitascope.errors import VitascopeError
from vitascope.evaluation.stand import Stand
from vitascope.jobs.keys import ApiKey, Scope
from vitascope.server.ui.chinese import told
from vitascope.server.ui.desk import Desk
from vitascope.server.ui.visitor import Identify, SlowDown, key_in
from vitascope.server.ui.words import Words

if TYPE_CHECKING:
    import gradio as gr


@dataclass(frozen=True)
class Room:
    """What every page is given: the desk, its language, how to tell who is there, what is voted on."""

    desk: Desk
    words: Words
    identify: Identify
    slow_down: SlowDown
    stands: Mapping[str, Stand]

    def caller(self, request: gr.Request, scope: Scope = "write") -> ApiKey:
        """Who is at the page; all but looking counts against the key's rate, as requests to the API do.

        Raises: gr.Error for a key that is not valid any more, may not do this, or has asked too often.
        """
        key = self.identify(key_in(request.headers))
        if key is None or scope not in key.scopes:
            lack = {"train": "key_may_not_train"}.get(scope, "key_may_not")
            raise self._error(self.words["key_wrong" if key is None else lack], 10)
        if scope != "read":
            try:
                self.slow_down(key)
            except VitascopeError as error:
                raise self.complaint(error) from error
        return key

    def tenant(self, request: gr.Request) -> str:
        """Whose jobs are shown. Raises: as `caller`."""
        return self.caller(request, "read").tenant

    def complaint(self, error: VitascopeError) -> gr.Error:
        """One of our errors as the page shows it."""
        return self._error(told(str(error), self.words.language), 12)

    def _error(self, text: str, duration_s: float) -> gr.Error:
        import gradio as gr  # takes seconds, and the service starts without it

        return gr.Error(text, duration=duration_s, print_exception=False)
