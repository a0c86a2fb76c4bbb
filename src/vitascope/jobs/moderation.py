"""Asks somebody else whether a prompt, an upload or a result may be shown, before anybody sees it.

The judge is a function of the deployment's own (`module:function`), or an endpoint that speaks OpenAI's moderations
API. A judge that is down or too slow counts as a refusal, unless the deployment is told to let through.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import logging
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, Self

import numpy as np

from vitascope.clip import Clip, Image
from vitascope.errors import RequestError, ResourceError
from vitascope.media import thumbnail
from vitascope.settings import Settings
from vitascope.task import Task, VideoToVideo

log = logging.getLogger(__name__)
NUM_FRAMES = 8  # of a clip, spread evenly over it
MAX_SIDE = 512
MAX_ANSWER_BYTES = 2**20
MAX_REASON_CHARACTERS = 200
NAMES = {"prompt": "the prompt", "upload": "the uploaded picture or clip", "result": "the result"}


class ModerationBlocked(RequestError):
    """The deployment's judge has refused what was asked for, or what came out."""


class ModerationUnavailable(ResourceError):
    """The judge could not be asked, and what is not judged is not made."""


@dataclass(frozen=True)
class Exhibit:
    """What is judged: text, or pictures with the prompt that they belong to."""

    kind: Literal["prompt", "upload", "result"]
    text: str = ""
    pictures: tuple[Image, ...] = ()


Judge = Callable[[Exhibit], Any]


@dataclass(frozen=True)
class Moderator:
    """A judge with its time limit. Units: timeout_s in seconds."""

    judge: Judge
    timeout_s: float = 10.0
    lets_through: bool = False  # what could not be judged

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The moderator that the environment names, or None. Raises: RequestError for a name that leads nowhere."""
        if settings.moderation is None:
            return None
        where = settings.moderation
        if where.startswith(("http://", "https://")):
            judge: Judge = Endpoint(where, settings.moderation_key, settings.moderation_timeout_s)
        else:
            judge = _function(where)
        return cls(judge, settings.moderation_timeout_s, settings.moderation_open)

    def check_start(self, start: Task | Clip) -> None:
        """Judge what a request brings: its words, and its picture or clip. Raises: as `check`."""
        text = (
            "\n".join(filter(None, (start.prompt, start.negative_prompt))) if isinstance(start, Task) else ""
        )
        if text:
            self.check(Exhibit("prompt", text))
        if isinstance(start, Clip):
            self.check(Exhibit("upload", text, _sampled(start)))
        elif isinstance(start, VideoToVideo):
            self.check(Exhibit("upload", text, _sampled(start.video)))
        elif isinstance(picture := getattr(start, "image", None), Image):  # of whatever kind of task has one
            self.check(Exhibit("upload", text, _sampled(Clip(picture.pixels[None], Fraction(1)))))

    def check_result(self, clip: Clip, prompt: str) -> None:
        """Judge a finished clip. Raises: as `check`."""
        self.check(Exhibit("result", prompt, _sampled(clip)))

    def check(self, exhibit: Exhibit) -> None:
        """Raises: ModerationBlocked if the judge refuses; ModerationUnavailable if it fails or takes too long."""
        answers: list[Any] = []
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                answers.append(self.judge(exhibit))
            except BaseException as error:  # noqa: BLE001  a judge is foreign code; it must not end a worker
                failures.append(error)

        asking = threading.Thread(target=ask, name="moderation", daemon=True)
        asking.start()
        asking.join(self.timeout_s)
        if answers:
            _rule(answers[0], exhibit)
            return
        why = (
            f"{type(failures[0]).__name__}: {failures[0]}"
            if failures
            else f"no answer in {self.timeout_s:g} s"
        )
        log.error("moderation of %s failed: %s", NAMES[exhibit.kind], why)
        if not self.lets_through:
            raise ModerationUnavailable(f"{NAMES[exhibit.kind]} could not be moderated; ask again later")


@dataclass(frozen=True)
class Endpoint:
    """A judge at an address that takes and gives what OpenAI's `POST /v1/moderations` does."""

    url: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 10.0

    def __call__(self, exhibit: Exhibit) -> str | None:
        """The refused categories, or None. Raises: OSError, ValueError."""
        parts: list[dict[str, Any]] = [{"type": "text", "text": exhibit.text}] if exhibit.text else []
        parts += [{"type": "image_url", "image_url": {"url": _data_url(p)}} for p in exhibit.pictures]
        headers = {"content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url, json.dumps({"input": parts}).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
            results = json.loads(response.read(MAX_ANSWER_BYTES))["results"]
        if not results or not all(isinstance(result["flagged"], bool) for result in results):
            raise ValueError("the answer is no moderation of OpenAI's kind")
        flagged = [result for result in results if result["flagged"]]
        if not flagged:
            return None
        names = sorted(
            {name for r in flagged for name, hit in (r.get("categories") or {}).items() if hit is True}
        )
        return ", ".join(names) or "flagged"


def _rule(answer: Any, exhibit: Exhibit) -> None:
    """None, True and "" let through; False and a reason refuse. Raises: ModerationBlocked."""
    if answer is None or answer is True or answer == "":
        return
    reason = f": {' '.join(str(answer).split())[:MAX_REASON_CHARACTERS]}" if answer is not False else ""
    param = {"prompt": "prompt", "upload": "input_reference"}.get(exhibit.kind)
    raise ModerationBlocked(
        f"{NAMES[exhibit.kind]} was refused by this service's moderation{reason}", param=param
    )


def _function(name: str) -> Judge:
    module, _, function = name.partition(":")
    try:
        judge = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            f"VITASCOPE_MODERATION={name!r} is neither module:function nor an http(s) address ({error})"
        ) from error
    if not callable(judge):
        raise RequestError(f"VITASCOPE_MODERATION={name!r} cannot be called")
    return judge


def _sampled(clip: Clip) -> tuple[Image, ...]:
    numbers = np.linspace(0, clip.num_frames - 1, min(NUM_FRAMES, clip.num_frames)).round().astype(int)
    frames = (clip.with_frames(clip.frames[int(n) : int(n) + 1]) for n in numbers)
    return tuple(thumbnail(frame, max_side=MAX_SIDE) for frame in frames)


def _data_url(picture: Image) -> str:
    from PIL import Image as Pillow

    data = io.BytesIO()
    Pillow.fromarray(picture.pixels).save(data, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
