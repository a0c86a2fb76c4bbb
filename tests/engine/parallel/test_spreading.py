"""Whole pipelines spread over two ranks make the frames of one: every family that says it can be split."""

import numpy as np
import pytest
import torch

from tests.engine.parallel.ranks import on_ranks
from tests.generators.families import FAMILIES
from tests.generators.family import ENGINE, plain_frames
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.spreading import spread
from vitascope.engine.placement import Placement
from vitascope.generators import GENERATORS, Generator
from vitascope.task import Task

MOCHI = next(family for family in FAMILIES if family.name == "mochi")
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


def _streamed(rank: int, generator: Generator, task: Task) -> tuple[np.ndarray, list[int]]:
    modules = Engine(Placement(device="cpu", dtype="float32", vae_streaming=True)).modules(generator)
    spread(modules, Mesh.join(Layout(cfg=2), torch.device("cpu")))
    heights: list[int] = []
    conv_in = modules.pipeline.vae.decoder.conv_in
    conv_in.register_forward_hook(lambda _, given, __: heights.append(given[0].shape[3]))
    (clip,) = generator.generate([generator.complete(task)], modules, Context())
    return clip.array(), heights


def test_ranks_share_the_rows_of_a_streamed_clip():
    expected, generator = plain_frames(MOCHI).astype(int), MOCHI.generator()
    task = generator.complete(MOCHI.task())
    for frames, heights in on_ranks(2, _streamed, generator, task):
        assert set(heights) == {task.height // 16}
        assert np.abs(frames.astype(int) - expected).max() <= 1
