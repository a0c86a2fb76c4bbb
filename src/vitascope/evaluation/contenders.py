"""The contenders of an evaluation: a model, its speed, and the knobs that it is run with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field

from vitascope.engine.placement import Speed
from vitascope.errors import RequestError, UnknownName
from vitascope.evaluation.suites import Item, Suite
from vitascope.generators import for_model
from vitascope.workflows import Chain
from vitascope.workflows.generate import DEFAULT_FROM_PICTURE, DEFAULT_MODEL

FORM = "MODEL[:SPEED][+KNOB=VALUE]..., such as sprout:turbo+num_inference_steps=8"


class Contender(BaseModel):
    """One algorithm in one setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str
    speed: Speed = "exact"
    knobs: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its written form. Raises: RequestError, UnknownName (model, speed, knob)."""
        head, *settings = text.strip().split("+")
        model, colon, speed = head.rpartition(":")
        if not colon or speed not in get_args(Speed):
            if colon and "/" not in speed and "\\" not in speed:
                raise UnknownName("speed", speed, get_args(Speed), param="models")
            model, speed = head, "exact"
        if not model:
            raise RequestError(f"{text!r} names no model; write {FORM}", param="models")
        knobs = dict(_setting(text, setting) for setting in settings)
        for_model(model, **knobs)
        return cls(name=text.strip(), model=model, speed=speed, knobs=knobs)

    def chain(self) -> Chain:
        """The contender as a chain of one generator. Raises: UnknownName, RequestError."""
        return Chain(generator=for_model(self.model, **self.knobs))

    def options(self, item: Item) -> dict[str, Any]:
        """What a job for `item` is asked with: fields of the task and knobs."""
        return {**self.knobs, **item.fields, "seed": item.seed}


def check_names(names: Sequence[str]) -> None:
    """Raises: RequestError if nobody takes part, or two under one name."""
    if not names:
        raise RequestError("name a model or bring clips: nobody takes part", param="models")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RequestError(f"{twice[0]!r} takes part twice; give another name", param="models")


def default_model(suite: Suite) -> str:
    """The embedded model for the suite's first item. Raises: RequestError if there is none for its task."""
    embedded = {"t2v": DEFAULT_MODEL, "i2v": DEFAULT_FROM_PICTURE, "v2v": DEFAULT_MODEL}
    code = suite.items[0].task_code
    if code not in embedded:
        raise RequestError(
            f"no embedded model makes {code}: name one with --models, or bring clips with --clips NAME=FOLDER",
            param="models",
        )
    return embedded[code]


def _setting(text: str, setting: str) -> tuple[str, Any]:
    name, equals, value = setting.partition("=")
    if not equals or not name:
        raise RequestError(f"{setting!r} in {text!r} is no setting; write {FORM}", param="models")
    return name, yaml.safe_load(value)
