"""Who takes part: a model, how fast it may run, and the knobs that it is asked with."""

from __future__ import annotations

from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field

from vitascope.engine.placement import Speed
from vitascope.errors import RequestError, UnknownName
from vitascope.evaluation.suites import Item
from vitascope.generators import for_model
from vitascope.workflows import Chain

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


def _setting(text: str, setting: str) -> tuple[str, Any]:
    name, equals, value = setting.partition("=")
    if not equals or not name:
        raise RequestError(f"{setting!r} in {text!r} is no setting; write {FORM}", param="models")
    return name, yaml.safe_load(value)
