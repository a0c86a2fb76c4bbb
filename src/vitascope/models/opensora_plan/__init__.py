"""Open-Sora-Plan 1.2 and 1.3: text, and given frames, to video.

Source: Lin et al., "Open-Sora Plan: Open-Source Large Video Generation Model", arXiv 2412.00131;
github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0, 842435c0 and v1.3.1, MIT.
"""

from vitascope.models.opensora_plan.causal_autoencoder import AutoencoderKLCausalVideo
from vitascope.models.opensora_plan.loading import load_pipeline, load_transformer, load_vae
from vitascope.models.opensora_plan.pipeline import OpenSoraPlanPipeline
from vitascope.models.opensora_plan.transformer import OpenSoraPlanTransformer3DModel

__all__ = [
    "AutoencoderKLCausalVideo",
    "OpenSoraPlanPipeline",
    "OpenSoraPlanTransformer3DModel",
    "load_pipeline",
    "load_transformer",
    "load_vae",
]
