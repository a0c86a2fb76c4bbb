"""A generator with a network of one layer, for fleets: other processes import it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch

from vitascope.clip import Clip
from vitascope.engine.levers import Levers
from vitascope.errors import OutOfMemory, UnsupportedTask
from vitascope.generators.base import Generator


class Doubling(torch.nn.Module):
    """Stands where a transformer stands: twice its input, and it notes how many samples it was given."""

    config = SimpleNamespace(num_attention_heads=4)
    seen = 0

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor]:
        self.seen = hidden_states.shape[0]
        return (2 * hidden_states,)


class Doubler(Generator):
    """Two samples, doubled step after step; `trouble` befalls rank `on` at step 2."""

    splits: ClassVar[tuple[str, ...]] = ("guidance",)

    num_inference_steps: int = 3
    trouble: str = ""
    on: int = -1

    def batches_guidance(self) -> bool:
        """Always."""
        return True

    def modules_key(self) -> str:
        """One for all."""
        return "doubler"

    def load(self, placement: Any) -> Any:
        """The network, and this rank's number as its weights."""
        pipeline = SimpleNamespace(transformer=Doubling())
        return SimpleNamespace(pipeline=pipeline, placement=placement, levers=Levers())

    def generate(self, tasks: Any, modules: Any, context: Any) -> list[Clip]:
        """A clip that says what came out, how many samples a rank saw, and which process this is."""
        states = torch.ones(2, 1)
        for step in range(1, self.num_inference_steps + 1):
            (states,) = modules.pipeline.transformer(hidden_states=states)
            if step == 2 and self.on in (torch.distributed.get_rank(), 99):
                self._befall()
            context.progress("denoise", step, self.num_inference_steps)
        context.warn("doubled")
        said = [*states.flatten().tolist(), modules.pipeline.transformer.seen, tasks[0].seed]
        return [
            Clip(np.full((len(said), 1, 1, 3), np.array(said).reshape(-1, 1, 1, 1), np.uint8), Fraction(8))
        ]

    def _befall(self) -> None:
        if self.trouble == "die":
            sys.stderr.write("the roof fell in\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "memory":
            raise OutOfMemory("cpu ran out of memory while running a test")
        if self.trouble == "refuse":
            raise UnsupportedTask("not such a task", param="size")
        if self.trouble == "bug":
            raise ZeroDivisionError("by nothing")
        if self.trouble == "slow":
            time.sleep(0.2)
        if self.trouble == "stuck":  # in a call that keeps Python's lock
            ctypes.PyDLL(None).sleep(600)


class Alone(Doubler):
    """Cannot be split."""

    splits: ClassVar[tuple[str, ...]] = ()
