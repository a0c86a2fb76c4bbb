"""What a card may say: the schema of `cards/*.toml`, one algorithm each."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TaskCode = Literal[
    "t2v",
    "i2v",
    "motion",
    "trajectory-i2v",
    "trajectory-t2v",
    "v2v",
    "flf2v",
    "continuation",
    "control",
    "camera",
    "motion-transfer",
    "reference",
    "editing",
    "audio",
    "t2i",
    "talking-head",
    "character-replacement",
    "super-resolution",
]
Backbone = Literal["unet", "dit"]
Attention = Literal["spatial-temporal", "full-3d", "sparse-3d", "block-causal", "linear"]
VaeKind = Literal["2d", "2d-temporal-decoder", "2d+temporal", "3d", "3d-causal", "wavelet-3d-causal"]
Positions = Literal["none", "sinusoidal", "sincos", "sincos-3d", "learned", "relative", "rope", "rope-3d"]
TextEncoder = Literal["none", "clip", "t5", "mt5", "umt5", "byt5", "llm"]
Control = Literal[
    "controlnet",
    "reference-network",
    "condition-encoder",
    "in-context",
    "training-free",
    "lora",
    "noise-warping",
]
Trait = Literal["autoregressive", "mixture-of-experts", "joint-audio"]
LicenceKind = Literal["open", "conditions", "non-commercial", "code-only"]
ScoreKind = Literal[
    "leaderboard", "leaderboard-copy", "authors", "third-party", "second-hand", "vendor-api", "corrupt"
]
Benchmark = Literal["VBench", "VBench-I2V"]

#: Architecture fields that a sourced fact of the same card must back, unless they come from its base.
BACKED_BY_FACT = {
    "attention": "attention",
    "vae": "vae",
    "vae_factors": "vae",
    "vae_channels": "vae",
    "positions": "positions",
    "text_encoders": "text_encoders",
}


class Record(BaseModel):
    """A frozen part of a card; a field that does not exist is an error, a field left out is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Fact(Record):
    """Something that somebody wrote down: what, where it was read, and when."""

    value: str | tuple[str, ...]
    source: str = Field(min_length=8)
    read: date

    @property
    def text(self) -> str:
        """The value as one line."""
        return self.value if isinstance(self.value, str) else ", ".join(self.value)


class LicenceFact(Fact):
    """Under which terms the weights may be used.

    `kind`: "open" (Apache-2.0, MIT and the like), "conditions" (an own licence with limits, or one inherited
    from the base model), "non-commercial", "code-only" (only the licence of the code is stated).
    """

    kind: LicenceKind


class ParametersFact(Fact):
    """How large the denoiser is. Units: billions of parameters, of the largest variant on the card."""

    billions: float | None = Field(None, gt=0)


class MemoryFact(Fact):
    """What it takes to run, as its authors say. Units: gigabytes as the source counts them."""

    min_gb: float | None = Field(None, gt=0)
    peak_gb: float | None = Field(None, gt=0)


class Facts(Record):
    """All that is known, each with its source; what nobody published stays empty."""

    paper: Fact | None = None
    code: Fact | None = None
    release: Fact | None = None
    weights: Fact | None = None
    licence: LicenceFact | None = None
    parameters: ParametersFact | None = None
    base: Fact | None = None
    attention: Fact | None = None
    vae: Fact | None = None
    positions: Fact | None = None
    text_encoders: Fact | None = None
    native: Fact | None = None
    vram: MemoryFact | None = None
    diffusers: Fact | None = None


class Architecture(Record):
    """How it is built, in the words of `docs` and of the eras.

    Fields left empty are those of `base`, another card or a foundation, where it has them.
    Units: vae_factors are pixels a latent cell along (time, height, width).
    """

    backbone: Backbone | None = None
    attention: Attention | None = None
    vae: VaeKind | None = None
    vae_factors: tuple[int, int, int] | None = None
    vae_channels: int | None = Field(default=None, gt=0)
    positions: tuple[Positions, ...] = ()
    text_encoders: tuple[TextEncoder, ...] = ()
    traits: tuple[Trait, ...] = ()
    control: Control | None = None
    base: str | None = None


class ReportMention(Record):
    """The algorithm's place in the founding report.

    `named`: the report names it. `counted_as`: the list of the report that this catalogue counts it in; the
    report gives the lists' lengths but not their members, so the choice is ours.
    """

    named: bool
    counted_as: Literal["t2v", "i2v", "motion", "trajectory-i2v", "trajectory-t2v"] | None = None


class BenchmarkScore(Record):
    """A row of a benchmark as somebody published it. Units: percent.

    `kind` says who published it. Rows of different kinds, prompt variants or samplers are not comparable
    within about one point; "corrupt" rows are kept to be recognised and are never ranked.
    """

    benchmark: Benchmark
    total: float | None = None
    quality: float | None = None
    semantic: float | None = None
    i2v: float | None = None
    variant: str = ""
    kind: ScoreKind
    source: str = Field(min_length=8)
    read: date


class Card(Record):
    """One algorithm: its facts, its architecture, and what benchmarks say.

    `org` comes from paper bylines and is not individually sourced. `released` is the earliest date of the
    release fact on which code or weights came out, as YYYY-MM or YYYY-MM-DD.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    name: str
    org: str
    tasks: tuple[TaskCode, ...] = Field(min_length=1)
    released: str | None = Field(None, pattern=r"^20\d\d-\d\d(-\d\d)?$")
    cohort: Literal["2024", "2025-2026"]
    notes: str = ""
    report: ReportMention | None = None
    architecture: Architecture
    facts: Facts
    scores: tuple[BenchmarkScore, ...] = ()

    @model_validator(mode="after")
    def _tags_have_facts(self) -> Self:
        for field, fact in BACKED_BY_FACT.items():
            if getattr(self.architecture, field) and getattr(self.facts, fact) is None:
                raise ValueError(f"architecture.{field} needs a sourced facts.{fact}")
        if self.released and (self.facts.release is None or self.released not in self.facts.release.text):
            raise ValueError(f"released={self.released!r} is not in facts.release")
        return self

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the facts that nobody published, as far as was read."""
        return tuple(
            name for name in Facts.model_fields if name != "base" and getattr(self.facts, name) is None
        )

    def best_score(self, benchmark: Benchmark) -> BenchmarkScore | None:
        """The highest total that is neither corrupt nor of a vendor's API, leaderboard rows first."""
        rows = [
            row
            for row in self.scores
            if row.benchmark == benchmark
            and row.total is not None
            and row.kind not in ("corrupt", "vendor-api")
        ]
        return max(rows, key=lambda row: (row.kind == "leaderboard", row.total), default=None)


def card_of(card_id: str, content: dict[str, Any]) -> Card:
    """A card from a parsed TOML file, checked. Raises: pydantic.ValidationError."""
    return Card.model_validate({"id": card_id, **content})
