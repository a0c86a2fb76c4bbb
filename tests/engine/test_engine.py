"""The engine loads once, keeps warm, lets the oldest go."""

from dataclasses import dataclass, field

import pytest

from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import OutOfMemory, RequestError


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


class Large(Counted):
    """Has room only where no other model is, to load or to run."""

    def __init__(self, key, engine, runs_out):
        super().__init__(key)
        self.engine, self.runs_out, self.tries = engine, runs_out, 0

    def load(self, placement):
        self._need_room("loading", 0)
        return super().load(placement)

    def generate(self, tasks, modules, context):
        self._need_room("running", 1)
        return ["clip"]

    def _need_room(self, doing, own):
        self.tries += self.runs_out == doing
        if self.runs_out == doing and len(self.engine._warm) > own:
            raise OutOfMemory(f"no room while {doing}")


@pytest.mark.parametrize("runs_out", ["loading", "running"])
def test_what_is_kept_warm_makes_room(runs_out):
    engine = Engine(Placement(device="cpu"))
    other = Counted("other")
    engine.modules(other)
    large = Large("large", engine, runs_out)
    assert engine.generate(large, [], Context()) == ["clip"]
    assert large.tries == 2
    engine.modules(other)
    assert len(other.loads) == 2, "it had been let go"


def test_a_model_that_has_no_room_by_itself_says_so_at_once():
    class TooLarge(Counted):
        def load(self, placement):
            self.loads.append(placement)
            raise OutOfMemory("it never fits")

    item = TooLarge("too large")
    with pytest.raises(OutOfMemory, match="never fits"):
        Engine(Placement(device="cpu")).modules(item)
    assert len(item.loads) == 1


@pytest.mark.parametrize("device", ["warp-drive", "cuda:99:3", "cuda"])
def test_a_device_that_is_not_here_is_refused(device):
    import torch

    if device == "cuda" and torch.cuda.is_available():
        return
    with pytest.raises(RequestError, match="device"):
        Placement(device=device).resolve()
