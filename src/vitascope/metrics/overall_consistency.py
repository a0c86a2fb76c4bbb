"""Whether a clip shows what was asked for, all of it."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._viclip import ViClipMetric


class OverallConsistency(ViClipMetric):
    """How well a clip matches its whole prompt to ViCLIP."""

    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/overall_consistency.py, Apache-2.0; ViCLIP "
        "(Wang et al., InternVid, ICLR 2024), own reading equal to the code there"
    )
