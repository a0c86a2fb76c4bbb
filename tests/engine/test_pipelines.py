"""What is looked at before a pipeline is loaded, and how it is placed."""

import pytest
from diffusers import DiffusionPipeline

from tests.generators.families import FAMILIES
from vitascope.engine.engine import Engine
from vitascope.engine.pipelines import place
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, VitascopeError
from vitascope.generators import for_model


@pytest.mark.parametrize(
    ("model", "switch", "said"),
    [
        ("mochi-1", {"attention": "cudnn"}, "attention='cudnn' needs a CUDA GPU"),
        ("genmo/mochi-1-preview", {"quantize": "fp8"}, "fp8 linears need a CUDA GPU"),
        ("cogvideox-5b", {"vae_streaming": True, "vae_tiling": True}, "choose vae_streaming or vae_tiling"),
    ],
)
def test_a_switch_that_cannot_be_had_is_refused_before_the_download(model, switch, said):
    with pytest.raises(VitascopeError, match=said):
        for_model(model).load(Placement(device="cpu", dtype="float32", **switch))


@pytest.mark.parametrize("switch", ["vae_tiling", "vae_slicing"])
def test_a_vae_that_cannot_work_in_parts_says_so(switch):
    """SVD's has the methods of all VAEs of diffusers, and they raise."""
    (svd,) = (one for one in FAMILIES if one.name == "svd")
    with pytest.raises(RequestError, match=f"AutoencoderKLTemporalDecoder has no .*leave {switch} off"):
        Engine(Placement(device="cpu", dtype="float32", **{switch: True})).modules(svd.generator())


@pytest.mark.parametrize(
    ("family", "whole"), [("hunyuan15_image_to_video", ["image_encoder"]), ("wan_image_to_video", [])]
)
def test_parts_that_cannot_come_layer_by_layer_stay_whole(family, whole, monkeypatch):
    (found,) = (one for one in FAMILIES if str(one).startswith(f"{family}-"))
    pipeline = Engine(Placement(device="cpu", dtype="float32")).modules(found.generator()).pipeline
    kept = []
    monkeypatch.setattr(
        DiffusionPipeline,
        "enable_sequential_cpu_offload",
        lambda self, device: kept.extend(self._exclude_from_cpu_offload),
    )
    place(pipeline, Placement(device="cuda", dtype="float32", offload="sequential"))
    assert kept == whole
    assert not DiffusionPipeline._exclude_from_cpu_offload, "other pipelines keep theirs"
