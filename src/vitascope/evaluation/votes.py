"""Blind votes: what one says, and the file that only grows."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from vitascope.evaluation.append_only import AppendOnly, Judgement

Choice = Literal["left", "right", "tie", "both-bad"]


class Vote(Judgement):
    """One person's blind choice between two clips of the same item.

    `probability` is that with which this pair was drawn among the item's pairs. `repeat` marks a hidden
    repetition with sides swapped and `gold` a clip beside its own spoilt copy: both measure the rater and are
    never counted for a rating.
    """

    left: str = Field(min_length=1)
    right: str = Field(min_length=1)
    choice: Choice
    probability: float = Field(1.0, gt=0, le=1)
    gold: bool = False

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        if self.left == self.right:
            raise ValueError(f"a vote is between two algorithms, not {self.left!r} and itself")
        return self

    @property
    def first_share(self) -> float:
        """1 if the algorithm that comes first by name won, 0 if it lost, 1/2 for a tie and for both bad."""
        left_share = {"left": 1.0, "right": 0.0}.get(self.choice, 0.5)
        return left_share if self.left < self.right else 1 - left_share

    @property
    def pair(self) -> tuple[str, str]:
        """Both algorithms, sorted by name."""
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms; a spoilt copy is no algorithm."""
        return (self.pair[0],) if self.gold else self.pair

    @property
    def is_counted(self) -> bool:
        """Whether it says something of the algorithms, not of the rater."""
        return not (self.repeat or self.gold)

    @property
    def key(self) -> tuple[str, ...]:
        """Two votes with the same key are the same rater's vote on the same pair."""
        return (self.task, self.item, *self.pair, self.rater, str(self.repeat))

    @property
    def said_twice(self) -> str:
        """Who has voted twice on what."""
        first, second = self.pair
        return (
            f"rater {self.rater!r} has already voted on {first!r} against {second!r} for item {self.item!r}"
        )


class VoteStore(AppendOnly[Vote]):
    """The append-only file of a run's votes."""

    kind: ClassVar[type[Judgement]] = Vote
    word: ClassVar[str] = "vote"
