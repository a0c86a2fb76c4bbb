"""What made a clip can be read from its recipe and made again."""

import numpy as np
import pytest

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.generators.colour_bars import ColourBars
from vitascope.recipe import Recipe, Stage
from vitascope.steps.expand_prompt import ExpandPrompt
from vitascope.steps.letterbox import Letterbox
from vitascope.steps.reverse import Reverse
from vitascope.task import ImageToVideo, TextToVideo
from vitascope.tracks import Trajectories
from vitascope.workflows import Chain
from vitascope.workflows.generate import order, task_from
from vitascope.workflows.replay import command, replay


class FromPicture(ColourBars):
    """Repeats its picture."""

    accepts = (ImageToVideo,)

    def _bars(self, task, notes):
        frames = np.repeat(task.image.pixels[None], task.num_frames, axis=0)
        return Clip(frames, task.fps, recipe=Recipe().then(self.stage(task)))


def run(chain, task):
    return chain.run(task, Engine(Placement(device="cpu")), Context())


def test_a_chain_is_read_back_without_asking_for_the_prompt_again():
    expand = ExpandPrompt(style="plain", offline=True)
    chain = Chain(around=(expand,), generator=ColourBars(), after=(Reverse(and_forth=True),))
    clip = run(chain, TextToVideo(prompt="a knight", seed=3, num_frames=9))
    made = replay(clip.recipe)
    assert [name for name, _ in made.lines] == ["generate", "reverse"]
    assert made.task["seed"] == 3
    assert made.task["prompt"] == clip.recipe.stages[0].task["prompt"] != "a knight"
    assert command(clip.recipe, "my clip.mp4") == "vitascope run 'my clip.mp4' -o again.mp4"


def test_what_goes_around_starts_from_the_task_that_was_asked():
    picture = Image(np.full((43, 100, 3), 90, np.uint8))
    chain = Chain(around=(Letterbox(width=128, height=128),), generator=FromPicture(), after=(Reverse(),))
    recipe = run(chain, ImageToVideo(prompt="sail", image=picture)).recipe
    with pytest.raises(RequestError, match="from memory"):
        replay(recipe)
    assert command(recipe) is None
    named = Image(picture.pixels, path="boat.png")
    made = replay(run(chain, ImageToVideo(prompt="sail", image=named)).recipe)
    assert [name for name, _ in made.lines] == ["letterbox", "generate", "reverse"]
    assert made.image == "boat.png"
    assert "width" not in made.task


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ((), "no recipe"),
        ((Stage(kind="file", name="holiday.mp4", notes={"path": "holiday.mp4"}),), "did not make"),
        ((Stage(kind="generator", name="colour-bars", notes={"batch": {"size": 2}}),), "batch"),
    ],
)
def test_recipes_that_cannot_be_followed_say_why(stages, words):
    with pytest.raises(RequestError, match=words):
        replay(Recipe(stages=stages))
    assert command(Recipe(stages=stages)) is None


@pytest.mark.parametrize(
    ("generator", "model", "words"),
    [
        ("wan", "wan2.1-t2v-1.3b", "--model wan2.1-t2v-1.3b"),
        ("wan", "/my/wan", "--model /my/wan"),
        ("animatediff", "animatediff", "--model animatediff"),
        ("animatediff-controlnet", "animatediff-controlnet", "--model animatediff-controlnet"),
        ("animatediff-controlnet", "/my/sd", "--model animatediff-controlnet --set weights=/my/sd"),
    ],
)
def test_the_command_names_the_generator_where_its_model_does_not_tell_it(generator, model, words):
    task = {"kind": "text-to-video", "prompt": "a star", "seed": 3}
    stage = Stage(kind="generator", name=generator, task=task, knobs={"model": model})
    assert words in command(Recipe(stages=(stage,)))


def test_drawn_paths_are_read_back_from_the_file():
    paths = {"paths": [[[0.1, 0.5], [0.9, 0.5]]]}
    task = {"kind": "trajectory-to-video", "prompt": "a star", "seed": 3, "trajectories": paths}
    recipe = Recipe(stages=(Stage(kind="generator", name="tora", task=task, knobs={"model": "tora"}),))
    made = replay(recipe)
    assert task_from(**made.task).trajectories == Trajectories.stated(paths)
    assert command(recipe, "star.mp4") == "vitascope run star.mp4 -o again.mp4"


def made_with(prompt="a star", **fields):
    task = {"kind": "text-to-video", "prompt": prompt, "seed": 3}
    stage = Stage(kind="generator", name="colour-bars", task=task)
    return command(Recipe(stages=(stage,), placement=Placement(**fields).model_dump(mode="json")))


def test_speed_memory_and_switches_are_in_the_command():
    said = made_with(speed="turbo", memory_gib=24.0, skip_interval=2, vae_streaming=False, attention="sdpa")
    for words in (
        "--speed turbo",
        "--memory 24GiB",
        "skip_interval=2",
        "vae_streaming=false",
        "attention=sdpa",
    ):
        assert words in said


def test_what_a_batch_alone_heeds_is_not():
    assert "vae_slicing" not in made_with(
        vae_slicing=True, vae_tiling=True
    )  # as every clip of Allegro has them


@pytest.mark.parametrize("own", ["blurry, dark", ""])
def test_a_negative_prompt_is_said_once(own):
    asked = order("a star", model="wan2.1-t2v-1.3b", negative_prompt="") if not own else None
    knobs = {"model": "wan2.1-t2v-1.3b", "negative_prompt": own}
    task = {"kind": "text-to-video", "prompt": "a star", "seed": 3, "negative_prompt": own}
    said = command(Recipe(stages=(Stage(kind="generator", name="wan", task=task, knobs=knobs),)))
    if own:
        assert "--negative 'blurry, dark'" in said and "negative_prompt=" not in said
    else:
        assert """--set 'negative_prompt=""'""" in said and "--negative" not in said
        assert asked.generator.complete(asked.task).negative_prompt == "", "nor that of the authors"


def test_defaults_are_not():
    assert "--set" not in made_with() and "--speed" not in made_with()


def test_a_prompt_that_looks_like_a_flag_stays_a_prompt():
    assert made_with(prompt="--help me").endswith("-o again.mp4 -- '--help me'")
