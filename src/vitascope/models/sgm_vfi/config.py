"""What sets one SGM-VFI network apart from another."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SGMVFIConfig(BaseModel):
    """The sizes of one SGM-VFI network; the defaults are upstream's released "small" network.

    `width` is the channel count of the full-size feature map (F in the paper's code); the 1/8 map has
    eight times as many. `key_point_ratio` is the share of the 1/8 grid that takes part in sparse global
    matching; None matches every position.

    Source: MCG-NJU/SGM-VFI @40b5e74, config.py, Apache-2.0. The fields from `stage_channels` on are
    constants upstream; we open them for smaller networks of our own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(16, ge=4, multiple_of=4)
    depths: tuple[int, int, int, int] = (2, 2, 2, 4)
    key_point_ratio: float | None = Field(0.5, gt=0, le=1)
    stage_channels: int = Field(128, ge=8)
    matching_channels: int = Field(128, ge=8, multiple_of=4)
    matching_layers: int = Field(6, ge=1)
    fusion_channels: int = Field(256, ge=8)

    @model_validator(mode="after")
    def _depths_are_positive(self) -> SGMVFIConfig:
        if min(self.depths) < 1:
            raise ValueError(f"every stage needs at least one block, got depths={self.depths}")
        return self

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the feature maps at 1/1, 1/2, 1/4 and 1/8 size."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width


SMALL = SGMVFIConfig()
BASE = SGMVFIConfig(width=32, depths=(2, 2, 2, 6))
# Ours: a quarter of the small network's work, for CPUs.
COMPACT = SGMVFIConfig(
    width=8, stage_channels=64, matching_channels=48, matching_layers=3, fusion_channels=64
)
