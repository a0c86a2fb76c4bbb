"""Which of VBench's sixteen dimensions can be measured here, with what, and what the others would need."""

from __future__ import annotations

from typing import NamedTuple

from vitascope.evaluation.vbench import VBENCH


class Need(NamedTuple):
    """What a dimension takes.

    `metric` is ours with the benchmark's definition, `variant` ours with its rule and another network; `file`
    names the weights that the benchmark uses and `licence` the terms of network and weights as far as stated.
    """

    prompts: int
    metric: str | None = None
    variant: str | None = None
    file: str | None = None
    licence: str = ""

    @property
    def status(self) -> str:
        """One line for a board."""
        if self.metric and self.file is None:
            return f"measured exactly by {self.metric}"
        if self.metric:
            return f"measured by {self.metric} where {self.file} is there"
        if self.variant:
            return f"not measured, needs {self.file} ({self.licence}); {self.variant} follows its rule, not its values"
        return f"not measured, needs {self.file} ({self.licence})"


_GRIT = "grit_b_densecap_objectdet.pth"
_GRIT_TERMS = "weights Apache-2.0 by their hub listing; network not ported"

#: Source: Vchitect/VBench 45e79ec, README and the dimension's file; licences as stated there or on the hub.
NEEDS: dict[str, Need] = {
    "subject_consistency": Need(72, "subject-consistency", file="facebook/dino-vitb16"),
    "background_consistency": Need(86, "background-consistency", file="openai/clip-vit-base-patch32"),
    "temporal_flickering": Need(75, "temporal-flickering"),
    "motion_smoothness": Need(72, None, "motion-smoothness-dis", "amt-s.pth", "CC BY-NC 4.0"),
    "dynamic_degree": Need(72, None, "dynamic-degree-dis", "raft-things.pth", "BSD-3-Clause; not ported"),
    "aesthetic_quality": Need(93, "aesthetic-quality", file="sa_0_4_vit_l_14_linear.pth and CLIP ViT-L/14"),
    "imaging_quality": Need(93, file="musiq_spaq_ckpt-358bb6af.pth", licence="PolyForm Noncommercial code"),
    "object_class": Need(79, file=_GRIT, licence=_GRIT_TERMS),
    "multiple_objects": Need(82, file=_GRIT, licence=_GRIT_TERMS),
    "human_action": Need(100, file="l16_ptk710_ftk710_ftk400_f16_res224.pth", licence="network not ported"),
    "color": Need(85, file=_GRIT, licence=_GRIT_TERMS),
    "spatial_relationship": Need(84, file=_GRIT, licence=_GRIT_TERMS),
    "scene": Need(86, file="tag2text_swin_14m.pth", licence="network not ported"),
    "appearance_style": Need(90, "appearance-style", file="openai/clip-vit-base-patch32"),
    "temporal_style": Need(100, file="ViClip-InternVid-10M-FLT.pth", licence="network not ported"),
    "overall_consistency": Need(93, file="ViClip-InternVid-10M-FLT.pth", licence="network not ported"),
}

assert tuple(NEEDS) == VBENCH.dimensions, "every dimension is listed, in the benchmark's order"
