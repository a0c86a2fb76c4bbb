"""Joint attention of video and text tokens whose video tokens are shared out among ranks.

Text tokens are few and every rank has them all. Ulysses gives each rank some heads of all tokens of its group;
what is then left to do for one sample, on one device or around a ring, is an `OneSample`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from vitascope.engine.attention import QKV, attend
from vitascope.engine.parallel.exchange import exchanged, gathered, packed, unpacked
from vitascope.engine.parallel.layout import ranges, shares
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.partial_attention import PartialAttend, merged

# query, key, value of one sample, video tokens then valid text tokens, and how many are video
OneSample = Callable[[Tensor, Tensor, Tensor, int], Tensor]


@dataclass
class Tokens:
    """How many video tokens the running sample has on all ranks together; set before the first block."""

    total: int = 0

    def of_ulysses_groups(self, mesh: Mesh) -> list[list[int]]:
        """The tokens of each rank of each Ulysses group of one sample."""
        size = mesh.layout.ulysses
        every = shares(self.total, mesh.layout.sequence)
        return [every[begin : begin + size] for begin in range(0, len(every), size)]


def on_one_device(kernel: str) -> OneSample:
    """Attention over all tokens, which are all here."""

    def one(query: Tensor, key: Tensor, value: Tensor, num_video: int) -> Tensor:  # noqa: ARG001
        return attend(query, key, value, kernel)

    return one


@dataclass(frozen=True)
class Piece:
    """Some heads of one sample on their way between ranks.

    `heads`: among this rank's own; `flat`: their place in what was packed; `coming`, `going`: how many numbers
    from and to each rank.
    """

    sample: int
    heads: slice
    flat: slice
    coming: list[int]
    going: list[int]
    exchanges: list[Callable[[], Tensor]]


class SplitAttend:
    """A `JointAttend` over the ranks of a mesh.

    `torch.compile` sees one operation with plain code around it, so that the exchange breaks no graph and
    packing costs no pass over memory of its own. `overlapping`: heads of one sample alone go in two halves, so
    that the second is on its way while the first is attended to, and the first on its way back while the
    second is.
    """

    def __init__(self, mesh: Mesh, tokens: Tokens, one: OneSample, overlapping: bool = False) -> None:
        self.mesh, self.tokens, self.one, self.overlapping = mesh, tokens, one, overlapping
        # The same name in every process and at every start, so that compiled graphs are found again.
        self.name = f"{mesh.layout.described()} #{len(_KNOWN)}"
        _KNOWN[self.name] = self

    def __call__(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shape: (B, tokens of this rank, H, D) and (B, L, H, D), as they come."""
        batch, num_tokens, num_heads, width = video.query.shape
        heads = [part for piece in self._pieces(batch, num_heads) for part in piece]
        flat = [packed(x, heads) for x in video]
        out, text_out = torch.ops.vitascope.split_attend(*flat, *text, text_lengths, self.name)
        return unpacked(out, heads, num_tokens, width), text_out

    def run(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """The operation itself. Shape: video (B, packed), text (B, L, H, D), as they come."""
        batch, num_text, num_heads, width = text.query.shape
        group = self.mesh.ulysses
        tokens = self.tokens.of_ulysses_groups(self.mesh)[self.mesh.ring.index]
        lengths = [num_text] * batch if text_lengths is None else text_lengths.tolist()
        parts = [
            self._sent(video, text, sample, lengths[sample], begin, piece, tokens)
            for sample in range(batch)
            for begin, piece in self._placed(batch, num_heads, tokens[group.index] * width)
        ]
        first, last = ranges(num_heads, group.size)[group.index]
        out, back = torch.empty_like(video.query), []
        text_part = text.query.new_zeros(batch, num_text, last - first, width)
        for part in parts:
            query, key, value = (wait() for wait in part.exchanges)
            attended = self.one(query[None], key[None], value[None], sum(tokens))[0]
            sent = attended.flatten()[: sum(part.coming)]
            back.append(exchanged(out[part.sample, part.flat], sent, part.going, part.coming, group))
            text_part[part.sample, : lengths[part.sample], part.heads] = attended[sum(tokens) :]
        text_out = gathered(text_part, 2, shares(num_heads, group.size), group).contiguous()
        for wait in back:
            wait()
        return out, text_out

    def _pieces(self, batch: int, num_heads: int) -> list[list[tuple[int, int]]]:
        """The heads of each rank, in one piece or two. Samples of a larger batch overlap as they are."""
        every = ranges(num_heads, self.mesh.layout.ulysses)
        count = 2 if self.overlapping and batch == 1 and num_heads >= 2 * len(every) > 2 else 1
        cut = [[(first + a, first + b) for a, b in ranges(last - first, count)] for first, last in every]
        return [[ranges_of_rank[piece] for ranges_of_rank in cut] for piece in range(count)]

    def _placed(
        self, batch: int, num_heads: int, per_head: int
    ) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Each piece with where its numbers begin in what was packed."""
        begin = 0
        for piece in self._pieces(batch, num_heads):
            yield begin, piece
            begin += sum(last - first for first, last in piece) * per_head

    def _sent(
        self,
        video: QKV,
        text: QKV,
        sample: int,
        length: int,
        begin: int,
        piece: list[tuple[int, int]],
        tokens: list[int],
    ) -> Piece:
        """Start the exchange of a piece's queries, keys and values."""
        group, width = self.mesh.ulysses, text.query.shape[-1]
        first, last = piece[group.index]
        before = ranges(text.query.shape[2], group.size)[group.index][0]
        going = [tokens[group.index] * (b - a) * width for a, b in piece]
        coming = [count * (last - first) * width for count in tokens]
        flat = slice(begin, begin + sum(going))
        exchanges = [
            self._whole_tokens(x[sample, flat], own[sample, :length, first:last], coming, going)
            for x, own in zip(video, text, strict=True)
        ]
        return Piece(sample, slice(first - before, last - before), flat, coming, going, exchanges)

    def _whole_tokens(
        self, flat: Tensor, text: Tensor, coming: list[int], going: list[int]
    ) -> Callable[[], Tensor]:
        """All video tokens of this rank's heads, then the text's, in one piece of memory."""
        length, heads, width = text.shape
        num_video = sum(coming) // (heads * width)
        whole = flat.new_empty(num_video + length, heads, width)
        arrived = exchanged(whole.view(-1)[: sum(coming)], flat, coming, going, self.mesh.ulysses)
        whole[num_video:] = text

        def wait() -> Tensor:
            arrived()
            return whole

        return wait


class RingAttend:
    """An `OneSample` whose queries stay while keys and values of the video go around; text is added once.

    `attend` gives outputs with their log-sum-exp, from which the parts are merged exactly.
    Source: Liu et al., Ring Attention, https://arxiv.org/abs/2310.01889.
    """

    def __init__(self, mesh: Mesh, tokens: Tokens, attend: PartialAttend) -> None:
        self.mesh, self.tokens, self.attend = mesh, tokens, attend

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, num_video: int) -> Tensor:
        """Shape: (1, tokens of this rank's block + text, H, D), as they come."""
        size, me = self.mesh.ring.size, self.mesh.ring.index
        blocks = [sum(group) for group in self.tokens.of_ulysses_groups(self.mesh)]
        passed = torch.stack([key[:, :num_video], value[:, :num_video]])
        out, lse = None, None
        for step in range(size):
            coming = self._pass_on(passed, blocks[(me - step - 1) % size]) if step < size - 1 else None
            keys, values = passed.unbind(0) if step else (key, value)
            out, lse = merged(out, lse, *self.attend(query, keys, values))
            if coming is not None:
                passed = coming()
        assert out is not None, "a ring has at least one rank"
        return out.to(query.dtype)

    def _pass_on(self, passed: Tensor, num_coming: int) -> Callable[[], Tensor]:
        """Send keys and values to the next rank of the ring while those of the one before come in."""
        group = self.mesh.ring
        coming = passed.new_empty(2, 1, num_coming, *passed.shape[3:])
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


_KNOWN: dict[str, SplitAttend] = {}  # an operation of torch takes no Python object but a name


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
    return _KNOWN[name].run(QKV(query, key, value), QKV(text_query, text_key, text_value), text_lengths)


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
