"""What spare words mean: looks and people can be told apart, and what the examples teach is not among them."""

import random
import re

import torch

from vitascope.toyworld.clothes import read_clothes
from vitascope.toyworld.lessons import CLOTHES, NAME, STYLE
from vitascope.toyworld.looks import LookReader
from vitascope.toyworld.renderer import draw, plan, render
from vitascope.toyworld.scenes import Actor, Scene, held_out, scenes
from vitascope.toyworld.spare_words import (
    FREE,
    LAST,
    TAUGHT_LOOKS,
    drawn_in,
    numbers_of,
    people,
    scene_with,
    with_spare_words,
    word_of,
)


def test_looks_differ_and_none_is_taken_for_what_the_example_teaches():
    scene = Scene("meadow", (Actor("ball", "red", "right"),))
    drawn = draw(plan([scene], 2), 128)
    frames, cover = (part.expand(len(TAUGHT_LOOKS), *part.shape[1:]) for part in drawn)
    clips = drawn_in(frames, cover, numbers_of(tuple(TAUGHT_LOOKS)))
    assert clips.min() >= 0 and clips.max() <= 1
    far = (clips[:, None, 0, ::4, ::4] - clips[None, :, 0, ::4, ::4]).abs().mean((-1, -2, -3))
    assert (far + torch.eye(len(far))).min() > 0.01
    assert (clips - drawn.frames).abs().mean((1, 2, 3, 4)).min() > 0.01
    reader = LookReader()
    assert "blueprint" not in {reader.look(clip) for clip in clips}


def test_a_clip_without_a_look_stays_as_it_is():
    drawn = draw(plan(list(scenes(1, 2)), 2), 32)
    clips = drawn_in(drawn.frames, drawn.cover, numbers_of(("", "negative")))
    assert torch.equal(clips[0], drawn.frames[0])
    assert torch.equal(clips[1], 1 - drawn.frames[1])


def test_words_are_said_where_they_mean_something_and_free_ones_never():
    rng = random.Random(3)
    meant = [with_spare_words(scene, rng, 0.5) for scene in scenes(2, 300)]
    for i, one in enumerate(meant):
        words = re.findall(r"style\d+", one.said(("en", "zh")[i % 2], rng).lower())
        assert words == [word for word in (one.name, one.look and word_of(one.look)) if word]
        assert not held_out(one.scene)
    assert 60 < sum(bool(one.look) for one in meant) < 140
    assert 30 < sum(bool(one.name) for one in meant) < 80
    taught = {*people(), *map(word_of, TAUGHT_LOOKS)}
    assert taught == {f"style{i}" for i in range(FREE, LAST)}
    assert not taught & {STYLE, NAME}


def test_a_person_wears_the_same_everywhere_and_never_what_the_example_teaches():
    worn = {(actor.colour, actor.trousers) for actor in people().values()}
    assert len(worn) == len(people())
    assert not worn & {tuple(CLOTHES), tuple(CLOTHES)[::-1]}
    rng = random.Random(5)
    shown = [scene_with(name, rng) for name in list(people())[:3]]
    for scene, clip in zip(shown, render(shown), strict=True):
        assert tuple(read_clothes(clip)) == (scene.actors[0].colour, scene.actors[0].trousers)
