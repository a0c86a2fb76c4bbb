"""Whether a clip moves in the style that was asked for."""

from __future__ import annotations

from typing import ClassVar

from vitascope.metrics._viclip import ViClipMetric


class TemporalStyle(ViClipMetric):
    """How well a clip matches its prompt, which names a camera move or a tempo, to ViCLIP."""

    source: ClassVar[str] = (
        "VBench (Huang et al., CVPR 2024), Vchitect/VBench 45e79ec, vbench/temporal_style.py, Apache-2.0; ViCLIP "
        "(Wang et al., InternVid, ICLR 2024), own reading equal to the code there"
    )
