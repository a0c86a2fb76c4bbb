"""The founding report's three eras, derived from how an algorithm is built, and the row since 2025."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vitascope.catalogue.card import Card, Record
from vitascope.catalogue.reading import load_cards, resolve_architecture

Era = Literal["unet-2+1d", "dit-2+1d", "dit-3d", "since-2025"]

#: Latent cells are this many times larger than the 4x8x8 that was usual to the end of 2024, or more.
HIGH_COMPRESSION = 512
_NEW_ATTENTION = {
    "sparse-3d": "sparse 3D attention",
    "linear": "linear attention",
    "block-causal": "block-causal attention over chunks",
}
_NEW_TRAITS = {
    "autoregressive": "autoregressive over chunks",
    "mixture-of-experts": "mixture of experts over noise levels",
    "joint-audio": "joint audio and video",
}


class EraRow(Record):
    """One row of the era table, in both languages."""

    era: Era
    title_en: str
    title_zh: str
    rule: str
    rule_zh: str


ERAS: tuple[EraRow, ...] = (
    EraRow(
        era="unet-2+1d",
        title_en="Pseudo 2+1D U-Net",
        title_zh="伪2+1D U-Net 时期",
        rule="the denoiser is a U-Net of an image model with temporal layers added",
        rule_zh="去噪网络是图像模型的 U-Net，加上时间层",
    ),
    EraRow(
        era="dit-2+1d",
        title_en="2+1D DiT",
        title_zh="2+1D DiT 时期",
        rule="a transformer whose spatial and temporal attention are separate blocks",
        rule_zh="空间与时间注意力分属不同模块的 Transformer",
    ),
    EraRow(
        era="dit-3d",
        title_en="3D DiT",
        title_zh="3D DiT 时期",
        rule="a transformer that attends over space and time at once, fully or sparsely",
        rule_zh="同时关注空间与时间的 Transformer，全注意力或稀疏注意力",
    ),
    EraRow(
        era="since-2025",
        title_en="Since 2025",
        title_zh="2025 年以来",
        rule="a transformer published since 2025 with at least one thing that the three eras lack",
        rule_zh="2025 年以来发布的 Transformer，至少有一项前三个时期没有的特征",
    ),
)


class EraVerdict(Record):
    """Where an algorithm stands, and why. `era` is None where too little is known of it."""

    card: str
    era: Era | None
    because: tuple[str, ...]
    novelties: tuple[str, ...] = ()


def novelties_of(card: Card) -> tuple[str, ...]:
    """What the algorithm has that the report's three eras do not know; forerunners of 2024 have some too."""
    architecture, _ = resolve_architecture(card)
    found = []
    if architecture.attention in _NEW_ATTENTION:
        found.append(_NEW_ATTENTION[architecture.attention])
    if factors := architecture.vae_factors:
        time, height, width = factors
        if time * height * width >= HIGH_COMPRESSION:
            found.append(f"high-compression VAE {time}x{height}x{width}")
    found += [text for trait, text in _NEW_TRAITS.items() if trait in architecture.traits]
    if "llm" in architecture.text_encoders:
        found.append("language model as text encoder")
    return tuple(found)


def era_of(card: Card) -> EraVerdict:
    """The era of an algorithm, from its backbone, attention, VAE, text encoder and date of release."""
    architecture, _ = resolve_architecture(card)
    novelties = novelties_of(card)
    if architecture.backbone == "unet":
        return EraVerdict(card=card.id, era="unet-2+1d", because=("U-Net",), novelties=novelties)
    if architecture.backbone == "dit" and novelties and (card.released or card.cohort) >= "2025":
        because = (f"transformer released {card.released or card.cohort}", *novelties)
        return EraVerdict(card=card.id, era="since-2025", because=because, novelties=novelties)
    if architecture.backbone == "dit" and architecture.attention:
        era: Era = "dit-2+1d" if architecture.attention == "spatial-temporal" else "dit-3d"
        because = ("transformer", f"{architecture.attention} attention")
        return EraVerdict(card=card.id, era=era, because=because, novelties=novelties)
    return EraVerdict(
        card=card.id,
        era=None,
        because=("its attention is not published, as far as was read",),
        novelties=novelties,
    )


def era_table(cards: Iterable[Card] | None = None) -> dict[Era | None, tuple[Card, ...]]:
    """Cards by era, in the report's order, each in order of release; None holds the undetermined."""
    cards = tuple(load_cards().values() if cards is None else cards)
    placed = [(era_of(card).era, card) for card in cards]
    keys: list[Era | None] = [*(row.era for row in ERAS), None]
    return {key: tuple(card for era, card in placed if era == key) for key in keys}
