"""Joint attention of video and text tokens whose video tokens are shared out among ranks.

Text tokens are few and every rank has them all. Ulysses gives each rank some heads of all tokens of its group;
what is then left to do for one sample, on one device or around a ring, is an `OneSample`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
import torch.distributed as dist
from torch import Tensor

from vitascope.engine.attention import QKV, attend
from vitascope.engine.parallel.exchange import Carrier, Numbers, Room, packed
from vitascope.engine.parallel.layout import SAMPLES_AT_ONCE, ranges, shares
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

    `heads`: each rank's, first and last; `begin`: where its numbers begin in what was packed; `numbers`: how many
    each rank has for each; `rooms`: for queries, keys, values and outputs.
    """

    sample: int
    heads: list[tuple[int, int]]
    begin: int
    numbers: Numbers
    rooms: list[Room]


class SplitAttend:
    """A `JointAttend` over the ranks of a mesh.

    `torch.compile` sees one operation with plain code before it, so that the exchange breaks no graph and
    packing costs no pass over memory of its own. `halves`: heads go in two, so that the first is attended to
    before the second is there, and on its way back while the second is attended to.
    """

    def __init__(
        self, mesh: Mesh, tokens: Tokens, one: OneSample, carrier: Carrier, halves: bool = False
    ) -> None:
        self.mesh, self.tokens, self.one, self.carrier = mesh, tokens, one, carrier
        self.num_pieces = 2 if halves else 1
        # The same name in every process and at every start, so that compiled graphs are found again.
        self.name = f"{mesh.layout.described()} #{next(_NUMBERS)}"
        _KNOWN[self.name] = self

    def __call__(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shape: (B, tokens of this rank, H, D) and (B, L, H, D), as they come."""
        heads = [part for piece in self.pieces(video.query.shape[2]) for part in piece]
        flat = [packed(x, heads) for x in video]
        out, text_out = torch.ops.vitascope.split_attend(*flat, *text, text_lengths, self.name)
        return out, text_out

    def run(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """The operation itself. Shape: video (B, packed), text (B, L, H, D) -> as they come."""
        batch, num_text, num_heads, width = text.query.shape
        tokens = self.tokens.of_ulysses_groups(self.mesh)[self.mesh.ring.index]
        own_tokens = tokens[self.mesh.ulysses.index]
        lengths = [num_text] * batch if text_lengths is None else text_lengths.tolist()
        out = video.query.new_empty(batch, own_tokens, num_heads, width)
        text_out = text.query.new_zeros(text.query.shape)
        for first in range(0, batch, SAMPLES_AT_ONCE):
            some = slice(first, first + SAMPLES_AT_ONCE)
            self._attend(
                QKV(*(x[some] for x in video)),
                QKV(*(x[some] for x in text)),
                lengths[some],
                tokens,
                out[some],
                text_out[some],
            )
        return out, text_out

    def pieces(self, num_heads: int) -> list[list[tuple[int, int]]]:
        """The heads of each rank, in one piece or more."""
        every = ranges(num_heads, self.mesh.layout.ulysses)
        count = min(self.num_pieces, num_heads // len(every)) if len(every) > 1 else 1
        cut = [[(first + a, first + b) for a, b in ranges(last - first, count)] for first, last in every]
        return [[ranges_of_rank[piece] for ranges_of_rank in cut] for piece in range(count)]

    def _attend(
        self, video: QKV, text: QKV, lengths: list[int], tokens: list[int], out: Tensor, text_out: Tensor
    ) -> None:
        """Fill `out` and `text_out` for a few samples."""
        me, carrier = self.mesh.ulysses.index, self.carrier
        pieces, text_room = self._placed(video, text, tokens)
        coming = [self._sent(video, text, lengths[piece.sample], piece) for piece in pieces]
        own, num_video = ranges(out.shape[2], self.mesh.ulysses.size), sum(tokens)
        text_part = text_out.new_zeros(*text_out.shape[:2], own[me][1] - own[me][0], text_out.shape[3])
        back = []
        for piece, wait in zip(pieces, coming, strict=True):
            query, key, value = (x[None] for x in wait())
            attended = self.one(query, key, value, num_video)[0]
            to_each = [list(column) for column in zip(*piece.numbers, strict=True)]
            back.append(carrier.exchanged(piece.rooms[3], attended.flatten()[: sum(to_each[me])], to_each))
            first, last = (head - own[me][0] for head in piece.heads[me])
            text_part[piece.sample, : lengths[piece.sample], first:last] = attended[num_video:]
        sizes = [text_part[..., 0, :].numel() * (last - first) for first, last in own]
        to_all = text_part.flatten().repeat(len(own))
        text_back = carrier.exchanged(text_room, to_all, [[size] * len(own) for size in sizes])
        for piece, arrived in zip(pieces, back, strict=True):
            arrived()
            _put(out[piece.sample], piece.rooms[3].memory, piece.heads)
        text_back()
        _put(text_out, text_room.memory, own)
        carrier.settle()

    def _placed(self, video: QKV, text: QKV, tokens: list[int]) -> tuple[list[Piece], Room]:
        """All pieces with rooms for them, and the room for the text's outputs."""
        batch, num_text, num_heads, width = text.query.shape
        me, pieces, begins, sizes = self.mesh.ulysses.index, self.pieces(num_heads), [0], []
        for piece in pieces:
            counts = [last - first for first, last in piece]
            begins.append(begins[-1] + sum(counts) * tokens[me] * width)
            sizes += [(sum(tokens) + num_text) * max(counts) * width] * 3
            sizes += [max(tokens) * sum(counts) * width]
        rooms = self.carrier.rooms(video.query, [*sizes * batch, text.query.numel()])
        placed: list[Piece] = []
        for sample in range(batch):
            for piece, begin in zip(pieces, begins, strict=False):
                numbers = [[count * (last - first) * width for first, last in piece] for count in tokens]
                four = rooms[4 * len(placed) : 4 * len(placed) + 4]
                placed.append(Piece(sample, piece, begin, numbers, four))
        return placed, rooms[-1]

    def _sent(self, video: QKV, text: QKV, length: int, piece: Piece) -> Callable[[], QKV]:
        """Start the exchange of a piece's queries, keys and values; wait for them when called.

        All video tokens of this rank's heads, then the text's, are in one piece of memory each.
        """
        me, width = self.mesh.ulysses.index, text.query.shape[-1]
        first, last = piece.heads[me]
        flat = slice(piece.begin, piece.begin + sum(piece.numbers[me]))
        num_video = sum(row[me] for row in piece.numbers) // ((last - first) * width)
        wholes, arrived = [], []
        for x, words, room in zip(video, text, piece.rooms, strict=False):
            whole = room.memory[: (num_video + length) * (last - first) * width].view(-1, last - first, width)
            arrived.append(self.carrier.exchanged(room, x[piece.sample, flat], piece.numbers))
            whole[num_video:] = words[piece.sample, :length, first:last]
            wholes.append(whole)

        def wait() -> QKV:
            for each in arrived:
                each()
            return QKV(*wholes)

        return wait


def _put(out: Tensor, flat: Tensor, heads: list[tuple[int, int]]) -> None:
    """Heads as they came from each rank, one after the other, where they belong. Shape: out (..., H, D)."""
    begin = 0
    for first, last in heads:
        place = out[..., first:last, :]
        place.copy_(flat[begin : begin + place.numel()].view(place.shape))
        begin += place.numel()


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


_NUMBERS = itertools.count()
# An operation of torch takes no Python object but a name.
_KNOWN: WeakValueDictionary[str, SplitAttend] = WeakValueDictionary()


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
    batch, _, heads, width = text_query.shape
    tokens = query.shape[1] // (heads * width)
    return query.new_empty(batch, tokens, heads, width), text_query.new_empty(text_query.shape)
