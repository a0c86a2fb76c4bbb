"""Which of VBench's sixteen dimensions can be measured here, with what, and what the others would need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vitascope.evaluation.vbench import VBENCH


class Need(NamedTuple):
    """What a dimension takes.

    `metric` is ours with the benchmark's definition, `variant` ours with its rule and another network, or none;
    `file` names the weights that the benchmark uses, `licence` their terms as far as stated, and `variant_file`
    what the variant wants.
    """

    prompts: int
    metric: str | None = None
    variant: str | None = None
    file: str | None = None
    licence: str = ""
    variant_file: str | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Ours, the benchmark's definition first."""
        return tuple(name for name in (self.metric, self.variant) if name)

    @property
    def status(self) -> str:
        """One line that says how a dimension is covered."""
        if self.metric and self.file is None:
            return f"measured exactly by {self.metric}"
        wants = f" ({self.variant_file})" if self.variant_file else ""
        other = f"; {self.variant}{wants} follows its rule, not its values" if self.variant else ""
        if self.metric:
            return f"measured by {self.metric} where {self.file} is there{other}"
        return f"not measured, needs {self.file} ({self.licence}){other}"


_GRIT = "grit_b_densecap_objectdet.pth"
_GRIT_TERMS = "weights Apache-2.0 by their hub listing; network not ported"
_OWL = "google/owlv2-base-patch16-ensemble"
_CLIP = "openai/clip-vit-base-patch32"
_VICLIP = f"ViClip-InternVid-10M-FLT.pth and the tokenizer of {_CLIP}"


def _by_owl(prompts: int, variant: str) -> Need:
    return Need(prompts, None, variant, _GRIT, _GRIT_TERMS, _OWL)


#: Source: Vchitect/VBench 45e79ec, README and the dimension's file; licences as stated there or on the hub.
NEEDS: dict[str, Need] = {
    "subject_consistency": Need(72, "subject-consistency", file="facebook/dino-vitb16"),
    "background_consistency": Need(86, "background-consistency", file=_CLIP),
    "temporal_flickering": Need(
        75, "temporal-flickering-static", "temporal-flickering-static-dis", "raft-things.pth"
    ),
    "motion_smoothness": Need(72, "motion-smoothness", "motion-smoothness-dis", "amt-s.pth", "CC BY-NC 4.0"),
    "dynamic_degree": Need(72, "dynamic-degree", "dynamic-degree-dis", "raft-things.pth"),
    "aesthetic_quality": Need(93, "aesthetic-quality", file="sa_0_4_vit_l_14_linear.pth and CLIP ViT-L/14"),
    "imaging_quality": Need(
        93,
        "imaging-quality",
        "imaging-quality-clipiqa",
        "musiq_spaq_ckpt-358bb6af.pth",
        variant_file=_CLIP,
    ),
    "object_class": _by_owl(79, "object-class-owl"),
    "multiple_objects": _by_owl(82, "multiple-objects-owl"),
    "human_action": Need(
        100,
        "human-action",
        "human-action-videomae",
        "l16_ptk710_ftk710_ftk400_f16_res224.pth and kinetics_400_categories.txt",
        variant_file="MCG-NJU/videomae-large-finetuned-kinetics, CC BY-NC 4.0",
    ),
    "color": _by_owl(85, "color-owl"),
    "spatial_relationship": _by_owl(84, "spatial-relationship-owl"),
    "scene": Need(
        86,
        None,
        "scene-blip",
        "tag2text_swin_14m.pth",
        "network not ported",
        "Salesforce/blip-image-captioning-base",
    ),
    "appearance_style": Need(90, "appearance-style", file=_CLIP),
    "temporal_style": Need(100, "temporal-style", file=_VICLIP),
    "overall_consistency": Need(93, "overall-consistency", file=_VICLIP),
}

assert tuple(NEEDS) == VBENCH.dimensions, "every dimension is listed, in the benchmark's order"

#: The dimension that a metric of ours measures, by the metric's name.
DIMENSION_OF = {metric: name for name, need in NEEDS.items() for metric in need.metrics}


def asks_for(metric: str, dimensions: Sequence[str]) -> bool:
    """Whether a metric looks at a clip that was made for some dimensions of VBench, or for none of them."""
    return not dimensions or metric not in DIMENSION_OF or DIMENSION_OF[metric] in dimensions
