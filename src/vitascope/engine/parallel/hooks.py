"""Hooks that split a denoiser's work among ranks and put its output together again; the pipeline sees nothing.

A denoiser's own code stays as it is: it computes on fewer samples and fewer tokens than it is given.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vitascope.engine.parallel.attention import Tokens
from vitascope.engine.parallel.exchange import gathered
from vitascope.engine.parallel.group import Group
from vitascope.engine.parallel.layout import ranges, shares

# An argument that stays the same from step to step keeps the same share, since others remember it by identity
# (the text mask is read from the GPU once a prompt).
NUM_KEPT = 8


@dataclass
class BatchSplit:
    """Each rank of a group denoises some samples of the batch (with guidance: one of the two prompts).

    A batch that has fewer samples than ranks is computed whole by each.
    """

    group: Group
    argument: str = "hidden_states"
    _batch: int = field(default=0, init=False)
    _kept: list[tuple[weakref.ref[Tensor], Tensor]] = field(default_factory=list, init=False)

    def install(self, denoiser: nn.Module) -> list[RemovableHandle]:
        """Hook in before everything else that looks at the arguments."""
        return [
            denoiser.register_forward_pre_hook(self._narrow, with_kwargs=True, prepend=True),
            denoiser.register_forward_hook(self._widen),
        ]

    def _narrow(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        whole = kwargs[self.argument] if self.argument in kwargs else args[0]
        self._batch = whole.shape[0] if whole.shape[0] >= self.group.size else 0
        if not self._batch:
            return None
        return tuple(self._own(value) for value in args), {k: self._own(v) for k, v in kwargs.items()}

    def _own(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != self._batch:
            return value
        for whole, own in self._kept:
            if whole() is value:
                return own
        begin, end = ranges(self._batch, self.group.size)[self.group.index]
        own = value[begin:end]
        self._kept = [*self._kept[1 - NUM_KEPT :], (weakref.ref(value), own)]
        return own

    def _widen(self, _module: Any, _args: Any, output: Any) -> Any:
        if not self._batch:
            return None
        sizes = shares(self._batch, self.group.size)
        if isinstance(output, tuple):
            return (gathered(output[0], 0, sizes, self.group), *output[1:])
        output.sample = gathered(output.sample, 0, sizes, self.group)
        return output


@dataclass
class TokenSplit:
    """Each rank of a group computes some of the video tokens; text and time embeddings are computed by all."""

    group: Group
    tokens: Tokens

    @property
    def own(self) -> tuple[int, int]:
        """Where this rank's tokens begin and end."""
        return ranges(self.tokens.total, self.group.size)[self.group.index]

    def narrow(self, value: Tensor, dim: int) -> Tensor:
        """This rank's part of a tensor that has tokens along `dim`."""
        begin, end = self.own
        return value.narrow(dim, begin, end - begin)

    def after_projection(self, projection: nn.Module) -> RemovableHandle:
        """Hook in where the output's tokens shall be whole again."""

        def hook(_module: Any, _args: Any, output: Tensor) -> Tensor:
            return gathered(output, 1, shares(self.tokens.total, self.group.size), self.group)

        return projection.register_forward_hook(hook)
