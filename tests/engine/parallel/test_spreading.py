"""Whole pipelines spread over two ranks make the frames of one: every family that says it can be split."""

import numpy as np
import pytest
import torch

from tests.engine.parallel.ranks import on_ranks
from tests.generators.families import ENGINE, FAMILIES, plain_frames
from vitascope.context import Context
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.spreading import spread
from vitascope.generators import GENERATORS, Generator
from vitascope.task import Task

SPLIT = [family for family in FAMILIES if GENERATORS[family.name].splits]


def _frames(rank: int, generator: Generator, task: Task, layouts: list[Layout]) -> list[np.ndarray]:
    modules = ENGINE.modules(generator)
    frames = []
    for layout in layouts:
        spread(modules, Mesh.join(layout, torch.device("cpu")))
        (clip,) = generator.generate([generator.complete(task)], modules, Context())
        frames.append(clip.array())
    return frames


@pytest.mark.parametrize("family", SPLIT, ids=str)
def test_two_ranks_make_the_frames_of_one(family):
    expected = plain_frames(family).astype(int)
    layouts = [Layout(cfg=2)]
    if "tokens" in GENERATORS[family.name].splits:  # and back again on the same modules
        layouts += [Layout(ulysses=2), Layout(ring=2), Layout(cfg=2)]
    for answer in on_ranks(2, _frames, family.generator(), family.task(), layouts):
        for layout, frames in zip(layouts, answer, strict=True):
            assert np.abs(frames.astype(int) - expected).max() <= 1, layout.described()
