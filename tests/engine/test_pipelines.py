"""What is looked at before a pipeline is loaded."""

import pytest

from vitascope.engine.placement import Placement
from vitascope.errors import VitascopeError
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
