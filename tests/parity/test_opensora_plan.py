"""Open-Sora-Plan 1.2 and 1.3 against upstream's own outputs, and the names in published checkpoints."""

from __future__ import annotations

import pytest
import torch

from tests.parity.golden import Case, cases, compare, released_shapes
from vitascope.models.opensora_plan.convert import config_from_upstream, tensors_from_upstream
from vitascope.models.opensora_plan.transformer import OpenSoraPlanTransformer3DModel

ATOL_DENOISER = 1e-5
SYSTEMS = ("open-sora-plan-1.2", "open-sora-plan-1.3")
CASES = [case for system in SYSTEMS for case in cases(system)]


def fixtures(prefix: str) -> list:
    """Every fixture whose name starts so, of every case."""
    return [
        pytest.param(case, name, id=f"{case}/{name}")
        for case in CASES
        for name in case.names
        if name.startswith(prefix)
    ]


def denoiser(case: Case, name: str) -> OpenSoraPlanTransformer3DModel:
    described = case.config[name]
    model = OpenSoraPlanTransformer3DModel(
        **config_from_upstream(described["config"], described["class_name"])
    )
    model.load_state_dict(tensors_from_upstream(case.group(name, "sd.")))
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize(("case", "name"), fixtures("dit"))
def test_denoiser_predicts_as_upstream(case, name):
    model, given = denoiser(case, name), case.group(name, "in.")
    text, text_mask = given["text"].squeeze(1), given["text_mask"].squeeze(1)

    def predict(latents: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return model(latents, text, given["timestep"], mask, text_mask, return_dict=False)[0]

    actual = {
        "out": predict(given["x"]),
        "out_masked": predict(given["x"], given["attn_mask"]),
        "out_image": predict(given["x"][:, :, :1]),
    }
    expected = case.group(name, "out.")
    assert expected.keys() == actual.keys()
    for output, values in expected.items():
        compare(case, f"{name} {output}", actual[output], values, ATOL_DENOISER)
