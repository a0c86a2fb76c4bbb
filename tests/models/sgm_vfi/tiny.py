"""A network small enough for tests."""

from vitascope.models.sgm_vfi.config import SGMVFIConfig

TINY = SGMVFIConfig(
    width=4,
    depths=(1, 2, 1, 3),
    stage_channels=16,
    matching_channels=16,
    matching_layers=2,
    fusion_channels=16,
)
