"""Chains run steps around and after a generator, in the stated order."""

import numpy as np
import pytest
from pydantic import ValidationError

from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, RequestError, UnsupportedTask
from vitascope.generators.colour_bars import ColourBars
from vitascope.steps.base import Step
from vitascope.steps.reverse import Reverse
from vitascope.task import MotionToVideo, TextToVideo
from vitascope.workflows import Chain


class Tagged(Step):
    """Writes its tag into the prompt before and into the recipe after."""

    tag: str

    def prepare(self, task, context):
        return task.model_copy(update={"prompt": f"{task.prompt} {self.tag}"}), {"tag": self.tag}

    def apply(self, clip, note, modules, context):
        from dataclasses import replace

        return replace(clip, recipe=clip.recipe.then(self.stage(**note)))


@pytest.fixture
def engine():
    return Engine(Placement(device="cpu"))


def test_steps_wrap_the_generator_like_an_onion(engine):
    chain = Chain(around=(Tagged(tag="a"), Tagged(tag="b")), generator=ColourBars(), after=(Tagged(tag="c"),))
    clip = chain.run(TextToVideo(prompt="a star"), engine, Context())
    first, *rest = clip.recipe.stages
    assert first.task["prompt"] == "a star a b"
    assert [stage.notes.get("tag") for stage in rest] == ["b", "a", None]


def test_same_task_gives_the_same_frames_and_other_seeds_others(engine):
    chain = Chain(generator=ColourBars())
    frames = [chain.run(TextToVideo(prompt="a star", seed=s), engine, Context()).array() for s in (1, 1, 2)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_a_given_clip_is_treated_without_a_generator(engine):
    clip = Chain(generator=ColourBars()).run(TextToVideo(prompt="a star"), engine, Context())
    back = Chain(after=(Reverse(),)).run_after(clip, engine, Context())
    assert np.array_equal(back.array(), clip.array()[::-1])
    assert [stage.name for stage in back.recipe.stages] == ["colour-bars", "reverse"]


def test_refusals(engine):
    with pytest.raises(RequestError, match="starts from a clip"):
        Chain(after=(Reverse(),)).run(TextToVideo(prompt="a star"), engine, Context())
    with pytest.raises(ValidationError, match="goes around a generator"):
        Chain(around=(Tagged(tag="a"),))
    with pytest.raises(UnsupportedTask, match="motion-to-video"):
        Chain(generator=ColourBars()).check(MotionToVideo.model_construct(prompt=""))


def test_cancel_stops_between_denoising_steps(engine):
    context = Context(on_progress=lambda progress: context.cancel.set() if progress.step == 2 else None)
    with pytest.raises(JobCancelled):
        Chain(generator=ColourBars(num_inference_steps=50)).run(TextToVideo(prompt="x"), engine, context)
