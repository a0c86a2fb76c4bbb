"""The engine loads once, keeps warm, lets the oldest go."""

from dataclasses import dataclass, field

import pytest

from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError


@dataclass
class Counted:
    """Counts its loads."""

    key: str
    loads: list = field(default_factory=list)

    def modules_key(self):
        return self.key

    def load(self, placement):
        self.loads.append(placement)
        return object()


def test_loads_once_and_evicts_the_least_recently_used():
    engine = Engine(Placement(device="cpu"), capacity=2)
    a, b, c = Counted("a"), Counted("b"), Counted("c")
    first = engine.modules(a)
    engine.modules(b)
    assert engine.modules(a) is first
    engine.modules(c)
    assert engine.modules(a) is first
    engine.modules(b)
    assert (len(a.loads), len(b.loads), len(c.loads)) == (1, 2, 1)
    assert a.loads[0].dtype == "float32"


def test_what_needs_no_modules_takes_no_warm_place():
    engine = Engine(Placement(device="cpu"), capacity=1)
    weighty, light = Counted("a"), Counted(None)
    first = engine.modules(weighty)
    engine.modules(light)
    assert engine.modules(weighty) is first
    assert len(weighty.loads) == 1


@pytest.mark.parametrize("device", ["warp-drive", "cuda:99:3", "cuda"])
def test_a_device_that_is_not_here_is_refused(device):
    import torch

    if device == "cuda" and torch.cuda.is_available():
        return
    with pytest.raises(RequestError, match="device"):
        Placement(device=device).resolve()
