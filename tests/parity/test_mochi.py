"""Mochi's transformer, as it attends here, against what upstream's code computed."""

from __future__ import annotations

import pytest
import torch
from diffusers import MochiTransformer3DModel

from tests.parity.golden import cases, compare_all
from vitascope.engine import attention, attention_processors

CASES = [(case, name) for case in cases("mochi-xdit") for name in case.starting("dit")]


@torch.no_grad()
@pytest.mark.parametrize(("case", "name"), CASES, ids=str)
def test_outputs_equal_upstreams(case, name):
    model = MochiTransformer3DModel(**case.config[name]["config"]).eval()
    model.load_state_dict(case.group(name, "sd."))
    attention_processors.install(model, attention.joined("sdpa"))
    given = case.group(name, "in.")
    output = model(given["x"], given["text"], given["timestep"], given["mask"]).sample
    compare_all(case, name, {"sample": output}, 1e-5)
