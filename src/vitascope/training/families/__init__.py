"""What fine-tuning must know of each family: how clips and prompts are encoded, and what the denoiser learns."""

from __future__ import annotations

from typing import Any

from vitascope.errors import RequestError
from vitascope.training.families.base import Family
from vitascope.training.families.cogvideox import CogVideoXFamily
from vitascope.training.families.hunyuan import HunyuanFamily
from vitascope.training.families.mochi import MochiFamily

FAMILIES: tuple[type[Family], ...] = (CogVideoXFamily, MochiFamily, HunyuanFamily)


def family_for(pipeline: str | None, model: str, config: dict[str, Any]) -> Family:
    """The family of a pipeline class. Raises: RequestError for one that cannot be fine-tuned."""
    for family in FAMILIES:
        if pipeline in family.pipelines:
            return family(pipeline or "", config)
    known = ", ".join(name for family in FAMILIES for name in family.pipelines)
    raise RequestError(
        f"{model!r} is a {pipeline}, which cannot be fine-tuned here; these can: {known}", param="model"
    )
