"""Captions say what the scene shows, in both languages."""

import random

import pytest

from vitascope.toyworld.captions import caption, parse
from vitascope.toyworld.scenes import Mixture, scenes


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_complete_caption_reads_back_to_its_scene(language):
    rng = random.Random(1)
    for scene in scenes(2, 200, "train", Mixture(people=0.3, pairs=0, moving_camera=0)):
        said = caption(scene, language, rng, complete=True)
        actor = scene.actors[0]
        assert parse(said) == (actor.colour, actor.kind, actor.motion, scene.background), said


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red ball bounces over green grass", ("red", "ball", "bounce", "meadow")),
        ("一只蓝色的小鱼在海里向左游", ("blue", "fish", "left", "underwater")),
        ("a fat man in a red shirt waving in a room", ("red", "person", "wave", "room")),
        ("A yellow star spins in the night sky.", ("yellow", "star", "spin", "night")),
        ("a green car drives to the right in the city", ("green", "car", "right", "city")),
    ],
)
def test_prompts_as_people_type_them(prompt, expected):
    assert parse(prompt) == expected


def test_what_is_not_said_is_none():
    assert parse("a ball") == (None, "ball", None, None)


def test_captions_vary():
    rng = random.Random(0)
    scene = next(scenes(9, 1))
    assert len({caption(scene, "en", rng) for _ in range(50)}) > 20
