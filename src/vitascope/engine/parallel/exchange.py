"""Tensors that change hands between ranks: tokens for heads and back, shares gathered to a whole.

Shares may be unequal: every rank knows the sizes of all, so that nothing is padded or masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from vitascope.engine.parallel.mesh import Group

# torch renamed it in 2.13
_ALL_GATHER = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def packed(x: Tensor, heads: Sequence[tuple[int, int]]) -> Tensor:
    """What each rank shall have of every sample, one after the other.

    Shape: (B, n, H, D) -> (B, n * H * D). Plain tensor code, which a compiler melts into what made `x`.
    """
    return torch.cat([x[:, :, begin:end].flatten(1) for begin, end in heads], 1)


def unpacked(flat: Tensor, heads: Sequence[tuple[int, int]], num_tokens: int, width: int) -> Tensor:
    """The way back. Shape: (B, n * H * D) -> (B, n, H, D)."""
    sizes = [num_tokens * (end - begin) * width for begin, end in heads]
    placed = sorted(zip(heads, flat.split(sizes, 1), strict=True), key=lambda pair: pair[0])
    parts = [part.unflatten(1, (num_tokens, -1, width)) for _, part in placed]
    return torch.cat(parts, 2) if len(parts) > 1 else parts[0]


def exchanged(
    into: Tensor, out_of: Tensor, coming: Sequence[int], going: Sequence[int], group: Group
) -> Callable[[], None]:
    """Fill the flat `into` with what every rank has for this one; starts now, waits when called.

    `coming`, `going`: how many numbers from and to each rank.
    Source: Jacobs et al., DeepSpeed Ulysses, https://arxiv.org/abs/2309.14509.
    """
    if group.size == 1:
        into.copy_(out_of)
        return lambda: None
    work = dist.all_to_all_single(
        into, out_of, list(coming), list(going), group=group.process_group, async_op=True
    )

    def wait() -> None:
        work.wait()

    return wait


def gathered(x: Tensor, dim: int, sizes: Sequence[int], group: Group) -> Tensor:
    """The whole along `dim` from every rank's share; `sizes` are the shares."""
    if group.size == 1:
        return x
    most = max(sizes)
    moved = x.movedim(dim, 0)
    if moved.shape[0] < most:
        moved = torch.cat([moved, moved.new_zeros(most - moved.shape[0], *moved.shape[1:])])
    moved = moved.contiguous()
    whole = moved.new_empty(group.size * most, *moved.shape[1:])
    _ALL_GATHER(whole, moved, group=group.process_group)
    if min(sizes) < most:
        parts = [part[:size] for part, size in zip(whole.split(most), sizes, strict=True)]
        whole = torch.cat(parts)
    return whole.movedim(0, dim)
