"""What a placement is refused for before anything is loaded."""

import pytest
import torch

from vitascope.engine.placement import Placement
from vitascope.errors import RequestError


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'; use cpu"),
        ({"text_encoder_device": "nowhere"}, "unknown text_encoder_device 'nowhere'"),
        ({"text_encoder_device": "xpu"}, "text_encoder_device 'xpu' is not on this machine"),
        ({"device": "cpu", "offload": "model"}, "offload='model' needs a GPU, not device 'cpu'"),
        ({"device": "cpu", "ring_degree": 2}, "ring_degree=2 needs gpus"),
    ],
)
def test_what_this_machine_cannot_have(asked, said):
    with pytest.raises(RequestError, match=said):
        Placement(**asked).resolve()


def test_a_gpu_that_is_not_among_those_here(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Placement(device="cuda:1").resolve().device == "cuda:1"
    with pytest.raises(
        RequestError, match="'cuda:2' is not on this machine, which has 2 GPUs, from cuda:0 on"
    ):
        Placement(device="cuda:2").resolve()


def test_what_is_for_a_batch_is_not_for_one_clip():
    sliced = Placement(vae_slicing=True)
    sliced.check_together(num_clips=2)
    with pytest.raises(RequestError, match="vae_slicing has no effect on one clip"):
        sliced.check_together(num_clips=1)
