"""Training steps of small models, recorded once as CUDA graphs: launching their kernels takes longer than they do."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.training.families.base import Family
from vitascope.training.recipe import Recipe

logger = logging.getLogger(__name__)
RECORD_BELOW_S = 0.05
"""Arithmetic of a step, in seconds, below which launching its kernels one by one would be most of its time."""


class _Prediction(nn.Module):
    """The denoiser with tensors alone as arguments, which is what a graph can be recorded of."""

    def __init__(self, pipeline: Any, family: Family, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net = pipeline.transformer
        self.pipeline, self.family, self.names = pipeline, family, names

    def forward(self, noisy: Tensor, level: Tensor, *values: Tensor) -> Tensor:
        """The family's prediction."""
        condition = dict(zip(self.names, values, strict=True))
        made: Tensor = self.family.predict(self.pipeline, noisy, level, condition)
        return made


@dataclass
class Predictor:
    """What a batch's noise is taken for: by the denoiser as it stands, or by its recording for each shape of batch."""

    pipeline: Any
    family: Family
    recorded: bool = False
    _recordings: dict[Any, Any] = field(default_factory=dict)

    def __call__(self, noisy: Tensor, level: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """Shape: as `Family.predict`."""
        if not self.recorded:
            return self.family.predict(self.pipeline, noisy, level, condition)
        given = (noisy, level, *condition.values())
        key = tuple((tuple(tensor.shape), tensor.dtype) for tensor in given)
        if key not in self._recordings:
            self._recordings[key] = self._record(tuple(condition), given)
        made: Tensor = self._recordings[key](*given)
        return made

    def _record(self, names: tuple[str, ...], given: tuple[Tensor, ...]) -> Any:
        prediction = _Prediction(self.pipeline, self.family, names).train()
        # Its gradients come from the stream that it was recorded on; autograd waits for them, and need not say so.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
        examples = tuple(tensor.clone() for tensor in given)
        kind = given[0].device.type
        try:
            # A recording reads the weights where they lie, so that casts of them must not be kept from call to call.
            with torch.autocast(
                kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), cache_enabled=False
            ):
                return torch.cuda.make_graphed_callables(prediction, examples, allow_unused_input=True)
        except RuntimeError as error:
            torch.cuda.synchronize()
            logger.warning("steps are not recorded, and slower for it: %s", str(error).partition("\n")[0])
            return _Prediction(self.pipeline, self.family, names)


def may_be_recorded(recipe: Recipe, arithmetic_s: float, *, plain: bool) -> bool:
    """Whether a step is short enough to gain by it. `plain`: on one GPU's own, whole, uncompiled blocks.

    Batches that are added up would write over each other's gradients, which lie where the recording put them;
    dropout draws from a source that is set anew for each step.
    """
    return plain and arithmetic_s < RECORD_BELOW_S and recipe.accumulate == 1 and not recipe.adapter.dropout


@contextmanager
def tensor_cores(device: torch.device) -> Iterator[None]:
    """Let float32 products on a GPU round their factors to TF32, several times as fast; put back afterwards."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
