"""Every family on a CUDA GPU: the clip that the CPU makes, however the card is asked to run it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.generators.families import FAMILIES
from tests.generators.family import Family, built, plain_frames
from vitascope.context import Context
from vitascope.engine.denoisers import BLOCKS
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.engine.weights import read_json

pytestmark = pytest.mark.gpu

EXACT = {
    "plain": {},
    "compiled": {"compile": True},
    "parts in turns": {"offload": "model"},
    "layer by layer": {"offload": "sequential"},
}


def frames(family: Family, device: str = "cuda", **placed: object) -> np.ndarray:
    generator = family.generator()
    modules = Engine(Placement(device=device, **placed)).modules(generator)
    (clip,) = generator.generate([generator.complete(family.task())], modules, Context())
    return clip.array()


def denoiser(family: Family) -> str | None:
    _, name = read_json(built(family.build) / "model_index.json").get("transformer", (None, None))
    return name


@pytest.mark.parametrize("way", EXACT)
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_the_gpu_makes_the_clip_of_the_cpu(family, way, monkeypatch):
    if way == "compiled" and denoiser(family) not in BLOCKS:
        pytest.skip(f"the blocks of {denoiser(family)} are not compiled")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    apart = np.abs(frames(family, dtype="float32", **EXACT[way]) - plain_frames(family).astype(float))
    assert apart.mean() < 0.1
    assert apart.max() <= 3


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_by_default_it_is_nearly_the_clip_of_a_cpu_in_as_many_bits(family):
    # In bfloat16 too: noise drawn in fewer bits is other noise.
    expected = frames(family, device="cpu", dtype="bfloat16").astype(float)
    apart = np.abs(frames(family) - expected)
    assert apart.mean() < 0.2 * expected.std()  # SVD's 0.13, where a CPU's bits alone come to 0.10
