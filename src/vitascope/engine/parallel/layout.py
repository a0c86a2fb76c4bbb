"""How a number of devices is shared out among the ways of splitting one generation. Knows no torch."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from vitascope.errors import RequestError

# A Ulysses split whose fullest rank has this much more than its share of heads is not worth it: ring instead.
LEAST_BALANCE = 0.9
# Ulysses exchanges so many samples together: room for more would cost more memory than waiting costs time.
SAMPLES_AT_ONCE = 2


class Layout(BaseModel):
    """cfg x ring x ulysses ranks.

    `cfg` ranks share the samples of the batch (with guidance: the prompt and the negative prompt); `ulysses`
    x `ring` ranks share the tokens of each sample, Ulysses by exchanging tokens for heads, ring by passing
    keys and values around. Ranks of one Ulysses group are neighbours, then those of one ring, then cfg.

    Source: the order of xDiT's process groups, https://github.com/xdit-project/xDiT (Apache-2.0).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cfg: int = Field(1, ge=1, le=2)
    ulysses: int = Field(1, ge=1)
    ring: int = Field(1, ge=1)

    @property
    def sequence(self) -> int:
        """How many ranks share the tokens of one sample."""
        return self.ulysses * self.ring

    @property
    def world(self) -> int:
        """How many ranks there are."""
        return self.cfg * self.sequence

    def groups(self, kind: str) -> list[list[int]]:
        """The ranks of each group of a kind: "cfg", "sequence", "ulysses", "ring" or "everyone"."""
        ranks = range(self.world)
        keys = {
            "everyone": lambda _: 0,
            "cfg": lambda rank: rank % self.sequence,
            "sequence": lambda rank: rank // self.sequence,
            "ulysses": lambda rank: rank // self.ulysses,
            "ring": lambda rank: (rank // self.sequence, rank % self.ulysses),
        }
        grouped: dict[object, list[int]] = {}
        for rank in ranks:
            grouped.setdefault(keys[kind](rank), []).append(rank)
        return list(grouped.values())

    def described(self) -> str:
        """The layout in words, such as "cfg 2 x ulysses 4"; "one device" for one."""
        parts = [f"{name} {size}" for name in ("cfg", "ulysses", "ring") if (size := getattr(self, name)) > 1]
        return " x ".join(parts) or "one device"

    def check_attention(self, asked: str, exact: str) -> None:
        """See that attention by a kernel that was asked for can be shared out so.

        `exact`: the fastest exact kernel there, which is what a ring attends by. Raises: RequestError.
        """
        if asked == "model" and self.sequence > 1:
            raise RequestError(
                f"attention='model' cannot be shared out as {self.described()}; leave it out, or use {exact!r}",
                param="attention",
            )
        if self.ring > 1 and asked not in ("auto", exact):
            raise RequestError(
                f"attention={asked!r} cannot go around a ring of {self.ring}, where {exact!r} attends; leave it out, "
                "or use ulysses_degree",
                param="attention",
            )

    @classmethod
    def derived(
        cls,
        num_devices: int,
        num_heads: int | None,
        *,
        guided: bool,
        cfg: int | None = None,
        ulysses: int | None = None,
        ring: int | None = None,
    ) -> Self:
        """The layout for so many devices; degrees that are given are kept.

        cfg first (it sends least), then the largest Ulysses degree that shares the heads out evenly enough,
        ring for the rest. `num_heads`: None for a model whose tokens cannot be split.
        Raises: RequestError if the degrees do not multiply to `num_devices`, or the model cannot be split so.
        """
        wanted, heads = f"gpus={num_devices}", num_heads or 1
        if cfg is None:
            fixed = (ulysses or 1) * (ring or 1)
            all_said = ulysses is not None and ring is not None and fixed == num_devices
            cfg = 2 if guided and num_devices % (2 * fixed) == 0 and not all_said else 1
        if cfg == 2 and not guided:
            raise RequestError(
                "cfg_degree=2 needs guidance, by a model that runs both prompts in one batch",
                param="cfg_degree",
            )
        sequence = num_devices // cfg
        if sequence > 1 and num_heads is None:
            most = "2 GPUs can share a clip" if guided else "a clip has one GPU"
            raise RequestError(f"{wanted}: the tokens of this model cannot be split; {most}", param="gpus")
        if ulysses is None:
            candidates = divisors(max(1, sequence // (ring or 1)))
            ulysses = max(u for u in candidates if balance(heads, u) >= LEAST_BALANCE)
        if ring is None:
            ring = max(1, sequence // ulysses)
        if cfg * ulysses * ring != num_devices:
            raise RequestError(
                f"{wanted} is not cfg {cfg} x ulysses {ulysses} x ring {ring}, which is {cfg * ulysses * ring}",
                param="gpus",
            )
        if ulysses > heads:
            raise RequestError(
                f"ulysses_degree={ulysses} is more than the {heads} heads; use ring_degree",
                param="ulysses_degree",
            )
        return cls(cfg=cfg, ulysses=ulysses, ring=ring)


def divisors(number: int) -> list[int]:
    """All divisors, smallest first."""
    return [d for d in range(1, number + 1) if number % d == 0]


def balance(num_heads: int, parts: int) -> float:
    """How evenly heads divide among ranks: the mean share over the largest. Range: 0..1, 1 is even."""
    return num_heads / parts / max(shares(num_heads, parts)) if parts <= num_heads else 0.0


def shares(total: int, parts: int) -> list[int]:
    """`total` things shared out as evenly as can be, larger shares first."""
    each, left = divmod(total, parts)
    return [each + (index < left) for index in range(parts)]


def ranges(total: int, parts: int) -> list[tuple[int, int]]:
    """Where each share begins and ends."""
    ends = [0]
    for share in shares(total, parts):
        ends.append(ends[-1] + share)
    return list(pairwise(ends))
