"""What every step on the shelf promises."""

import json

import numpy as np
import pytest

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.errors import JobCancelled
from vitascope.steps import STEPS, Step

NAMES = STEPS.names()


@pytest.mark.parametrize("name", NAMES)
def test_is_a_documented_frozen_record(name):
    step = STEPS[name]
    assert issubclass(step, Step)
    assert step.name == name
    assert len(step.summary()) > 15
    assert step.apply is not Step.apply or step.prepare is not Step.prepare, "a step does something"


@pytest.mark.parametrize("name", NAMES)
def test_record_survives_json(name):
    step = STEPS[name]
    required = [knob for knob, field in step.model_fields.items() if field.is_required()]
    if not required:
        assert step.model_validate_json(step().model_dump_json()) == step()
    json.dumps(step.model_json_schema())


@pytest.mark.parametrize("name", NAMES)
def test_stops_when_cancelled(name):
    step = STEPS[name]
    if step.apply is Step.apply or any(field.is_required() for field in step.model_fields.values()):
        return
    context = Context()
    context.cancel.set()
    clip = Clip(np.zeros((5, 32, 48, 3), np.uint8), 8)
    with pytest.raises(JobCancelled):
        step().apply(clip, {}, None, context)
