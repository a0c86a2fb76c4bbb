"""Measure many metrics of one clip, which share its decoding and its optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, ResourceError
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics.base import Metric, Score


def measure(
    clip: Clip,
    metrics: Sequence[Metric],
    reference: Clip | None = None,
    placement: Placement | None = None,
    loaded: dict[Any, Any] | None = None,
) -> list[Score]:
    """The scores of `clip`, in the order of `metrics`. `loaded` keeps networks from one clip to the next.

    What cannot be measured here (weights or a reference missing, a clip too short) is a score without a value
    that says why; it is never zero.
    """
    analysed = AnalysedClip.of(clip)
    loaded = {} if loaded is None else loaded
    scores = []
    for metric in metrics:
        if metric.needs_reference and reference is None:
            scores.append(metric.unmeasured("needs a reference clip"))
            continue
        try:
            # Metrics that inherit one `load` can share what it loads, as the CLIP metrics do.
            key = (type(metric).load, metric.modules_key())
            if key not in loaded:
                loaded[key] = metric.load(placement or Placement())
            scores.append(metric.score(analysed, reference, loaded[key]))
        except (RequestError, ResourceError) as error:
            scores.append(metric.unmeasured(str(error)))
    return scores
