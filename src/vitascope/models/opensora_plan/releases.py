"""What the authors published as Open-Sora-Plan 1.2 and 1.3: where it lies and how they sample from it.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan, MIT. 1.2: at v1.2.0 opensora/sample/sample_t2v.py and
scripts/text_condition/gpu/sample_t2v.sh, at 842435c0 opensora/sample/pipeline_inpaint.py. 1.3: at v1.3.1
opensora/utils/sample_utils.py, opensora/sample/pipeline_inpaint.py and
scripts/text_condition/gpu/sample_t2v_v1_3.sh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diffusers import EulerAncestralDiscreteScheduler, PNDMScheduler

from vitascope.errors import UnknownName

NEGATIVE_PROMPT = """
    nsfw, lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, worst quality, 
    low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry.
    """  # noqa: W291, E501 (as trained with)

Scheduler = EulerAncestralDiscreteScheduler | PNDMScheduler
MaskLayout = Literal["frames of a latent frame", "spread over the clip"]


@dataclass(frozen=True)
class Release:
    """How one release is sampled from.

    `hidden_pixel` is what a frame that is not given shows the autoencoder, and `mask_layout` says which frames'
    masks stand in one latent frame's channels. Units: `fps` in frames a second.
    """

    name: str
    repository: str
    prompt_template: str
    cleans_prompts: bool
    fps: int
    hidden_pixel: float
    mask_layout: MaskLayout
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    inpainting_scheduler: type[Scheduler] = EulerAncestralDiscreteScheduler
    num_inference_steps: int = 100
    guidance_scale: float = 7.5
    max_sequence_length: int = 512

    def new_scheduler(self, *, inpainting: bool = False) -> Scheduler:
        """The sampler of the authors' scripts."""
        kind = self.inpainting_scheduler if inpainting else EulerAncestralDiscreteScheduler
        return kind(**self.scheduler)


RELEASES = {
    release.name: release
    for release in (
        Release(
            name="1.2",
            repository="LanguageBind/Open-Sora-Plan-v1.2.0",
            prompt_template="\n    (masterpiece), (best quality), (ultra-detailed), \n    {}. \n    ",
            cleans_prompts=True,
            fps=24,
            hidden_pixel=0.0,
            mask_layout="spread over the clip",
            inpainting_scheduler=PNDMScheduler,
        ),
        Release(
            name="1.3",
            repository="LanguageBind/Open-Sora-Plan-v1.3.0",
            prompt_template="\n    high quality, high aesthetic, {}\n    ",
            cleans_prompts=False,
            fps=18,
            hidden_pixel=-1.0,
            mask_layout="frames of a latent frame",
            scheduler={
                "prediction_type": "v_prediction",
                "rescale_betas_zero_snr": True,
                "timestep_spacing": "trailing",
            },
        ),
    )
}


def release_called(name: str) -> Release:
    """A release by its number. Raises: UnknownName."""
    if name not in RELEASES:
        raise UnknownName("Open-Sora-Plan release", name, RELEASES)
    return RELEASES[name]
