"""Joint attention of video and text tokens whose video tokens are shared out among ranks.

Text tokens are few and every rank has them all. All functions take (B, L, H, D).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from vitascope.engine.attention import QKV, JointAttend
from vitascope.engine.parallel.exchange import gathered, heads_for_tokens, tokens_for_heads
from vitascope.engine.parallel.layout import ranges, shares
from vitascope.engine.parallel.mesh import Group
from vitascope.engine.parallel.partial_attention import PartialAttend, merged


@dataclass
class Tokens:
    """How many video tokens the running sample has on all ranks together; set before the first block."""

    total: int = 0


@dataclass(frozen=True)
class UlyssesAttend:
    """Every rank attends with some heads over all tokens of its group.

    `inner` does that (and may be a ring). `tokens` are those of all ranks, `num_groups` how many Ulysses
    groups share them, `index` which of these this is. Heads go in `pieces`, so that the exchange of one hides
    behind the attention of another.
    """

    inner: JointAttend
    group: Group
    tokens: Tokens
    num_groups: int = 1
    index: int = 0
    pieces: int = 2

    def __call__(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shape: (B, tokens of this rank, H, D) and (B, L, H, D), as they come."""
        size, num_heads = self.group.size, video.query.shape[2]
        every = shares(self.tokens.total, self.num_groups * size)
        tokens = every[self.index * size : (self.index + 1) * size]
        plans = _head_plans(num_heads, size, self.pieces)
        started = [[tokens_for_heads(x, tokens, plan, self.group) for x in video] for plan in plans]
        video_out = torch.empty_like(video.query, memory_format=torch.contiguous_format)
        text_parts, finish = [], []
        for plan, exchanges in zip(plans, started, strict=True):
            begin, end = plan[self.group.index]
            own_video = QKV(*(wait() for wait in exchanges))
            own_text = QKV(*(x[:, :, begin:end] for x in text))
            out, text_out = self.inner(own_video, own_text, text_lengths)
            finish.append(heads_for_tokens(out, tokens, plan, self.group, into=video_out))
            text_parts.append(text_out)
        text_whole = gathered(torch.cat(text_parts, 2), 2, shares(num_heads, size), self.group)
        for wait in finish:
            wait()
        return video_out, text_whole.contiguous()


def _head_plans(num_heads: int, size: int, pieces: int) -> list[list[tuple[int, int]]]:
    """For each piece, the range of heads that every rank attends with."""
    owned = ranges(num_heads, size)
    pieces = max(1, min(pieces, num_heads // size))
    split = [[(begin + a, begin + b) for a, b in ranges(end - begin, pieces)] for begin, end in owned]
    return [[of_rank[piece] for of_rank in split] for piece in range(pieces)]


@dataclass(frozen=True)
class RingAttend:
    """Queries stay; keys and values of the video go around, text is added once.

    `attend` gives outputs with their log-sum-exp, from which the parts are merged exactly.
    `group_tokens`: how many ranks of a Ulysses group inside each ring rank have given their tokens.
    Source: Liu et al., Ring Attention, https://arxiv.org/abs/2310.01889.
    """

    attend: PartialAttend
    group: Group
    tokens: Tokens
    ulysses: int = 1

    def __call__(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shape: (B, tokens of this rank's block, H, D) and (B, L, H, D), as they come."""
        size, me = self.group.size, self.group.index
        every = shares(self.tokens.total, size * self.ulysses)
        blocks = [sum(every[i * self.ulysses : (i + 1) * self.ulysses]) for i in range(size)]
        query = torch.cat([video.query, text.query], 1)
        passed = torch.stack([video.key, video.value])
        out, lse = None, None
        for step in range(size):
            coming = _pass_on(passed, blocks[(me - step - 1) % size], self.group) if step < size - 1 else None
            if step == 0:
                part = self._with_text(query, video, text, text_lengths)
            else:
                part = self.attend(query, *passed.unbind(0))
            out, lse = merged(out, lse, *part)
            if coming is not None:
                passed = coming()
        assert out is not None, "a ring has at least one rank"
        num_video = video.query.shape[1]
        video_out = torch.empty_like(video.query, memory_format=torch.contiguous_format).copy_(
            out[:, :num_video]
        )
        text_out = torch.empty_like(text.query, memory_format=torch.contiguous_format).copy_(
            out[:, num_video:]
        )
        for sample, length in enumerate([] if text_lengths is None else text_lengths.tolist()):
            text_out[sample, length:] = 0
        return video_out, text_out

    def _with_text(
        self, query: Tensor, video: QKV, text: QKV, text_lengths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Attention over this rank's own keys and, once, the valid keys of the text."""
        batch, num_text = text.query.shape[:2]
        lengths = [num_text] * batch if text_lengths is None else text_lengths.tolist()
        parts = []
        for sample, length in enumerate(lengths):
            one = slice(sample, sample + 1)
            key = torch.cat([video.key[one], text.key[one, :length]], 1)
            value = torch.cat([video.value[one], text.value[one, :length]], 1)
            parts.append(self.attend(query[one], key, value))
        return torch.cat([out for out, _ in parts]), torch.cat([lse for _, lse in parts])


def _pass_on(passed: Tensor, num_coming: int, group: Group) -> Callable[[], Tensor]:
    """Send keys and values to the next rank of the ring while those of the one before come in."""
    shape = list(passed.shape)
    shape[2] = num_coming
    coming = passed.new_empty(shape)
    after, before = (group.ranks[(group.index + way) % group.size] for way in (1, -1))
    works = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.isend, passed, after, group.process_group),
            dist.P2POp(dist.irecv, coming, before, group.process_group),
        ]
    )

    def wait() -> Tensor:
        for work in works:
            work.wait()
        return coming

    return wait


@dataclass
class Compilable:
    """A joint attention that `torch.compile` sees as one operation, so that its exchanges break no graph."""

    attend: JointAttend
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"attend-{len(_KNOWN)}"
        _KNOWN[self.name] = self.attend

    def __call__(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shape: as `attend`."""
        result: tuple[Tensor, Tensor] = torch.ops.vitascope.split_attend(
            *video, *text, text_lengths, self.name
        )
        return result


_KNOWN: dict[str, JointAttend] = {}  # an operation of torch takes no Python object but a name


@torch.library.custom_op("vitascope::split_attend", mutates_args=())
def _split_attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    text_query: Tensor,
    text_key: Tensor,
    text_value: Tensor,
    text_lengths: Tensor | None,
    name: str,
) -> tuple[Tensor, Tensor]:
    return _KNOWN[name](QKV(query, key, value), QKV(text_query, text_key, text_value), text_lengths)


@_split_attend.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    text_query: Tensor,
    text_key: Tensor,
    text_value: Tensor,
    text_lengths: Tensor | None,
    name: str,
) -> tuple[Tensor, Tensor]:
    del key, value, text_key, text_value, text_lengths, name
    return query.new_empty(query.shape), text_query.new_empty(text_query.shape)
