"""Tensors that change hands between ranks: tokens for heads and back, shares gathered to a whole.

Shares may be unequal: every rank knows the sizes of all, so that nothing is padded or masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist

from vitascope.engine.parallel.mesh import Group

Later = Callable[[], torch.Tensor]
# torch renamed it in 2.13
_ALL_GATHER = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def tokens_for_heads(
    x: torch.Tensor, tokens: Sequence[int], heads: Sequence[tuple[int, int]], group: Group
) -> Later:
    """Give away the heads of the others, get all tokens of one's own heads; starts now, waits when called.

    `tokens`: how many each rank has; `heads`: the range of heads that each rank gets.
    Shape: (B, tokens of this rank, H, D) -> (B, all tokens, heads of this rank, D).
    Source: Jacobs et al., DeepSpeed Ulysses, https://arxiv.org/abs/2309.14509.
    """
    batch, num_tokens, _, width = x.shape
    rows = x.transpose(0, 1)
    sizes = [num_tokens * batch * (end - begin) * width for begin, end in heads]
    sent = x.new_empty(sum(sizes))
    for part, (begin, end) in zip(sent.split(sizes), heads, strict=True):
        part.view(num_tokens, batch, end - begin, width).copy_(rows[:, :, begin:end])
    own = heads[group.index][1] - heads[group.index][0]
    got_sizes = [share * batch * own * width for share in tokens]
    got = x.new_empty(sum(got_sizes))
    work = dist.all_to_all_single(got, sent, got_sizes, sizes, group=group.process_group, async_op=True)

    def wait() -> torch.Tensor:
        nonlocal sent
        work.wait()
        del sent
        return got.view(sum(tokens), batch, own, width).transpose(0, 1)

    return wait


def heads_for_tokens(
    x: torch.Tensor, tokens: Sequence[int], heads: Sequence[tuple[int, int]], group: Group, into: torch.Tensor
) -> Callable[[], None]:
    """The way back: fills the ranges `heads` of `into`; starts now, waits when called.

    Shape: (B, all tokens, heads of this rank, D) -> `into` (B, tokens of this rank, H, D).
    """
    batch, _, own, width = x.shape
    sent = x.transpose(0, 1).contiguous().view(-1)
    sizes = [share * batch * own * width for share in tokens]
    mine = tokens[group.index]
    got_sizes = [mine * batch * (end - begin) * width for begin, end in heads]
    got = x.new_empty(sum(got_sizes))
    work = dist.all_to_all_single(got, sent, got_sizes, sizes, group=group.process_group, async_op=True)

    def wait() -> None:
        nonlocal sent
        work.wait()
        del sent
        rows = into.transpose(0, 1)
        for part, (begin, end) in zip(got.split(got_sizes), heads, strict=True):
            rows[:, :, begin:end].copy_(part.view(mine, batch, end - begin, width))

    return wait


def gathered(x: torch.Tensor, dim: int, sizes: Sequence[int], group: Group) -> torch.Tensor:
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
