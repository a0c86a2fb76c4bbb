"""Scenes: reproducible, and the fence between training and measurement holds."""

import random

from vitascope.toyworld.prompts import draw_up, held_out_prompts
from vitascope.toyworld.scenes import CLASHES, Mixture, held_out, sample_scene, scenes


def test_the_same_seed_gives_the_same_scenes():
    assert list(scenes(7, 40)) == list(scenes(7, 40))
    assert list(scenes(7, 40)) != list(scenes(8, 40))


def test_training_never_draws_a_held_out_combination():
    mixture = Mixture(people=0.3, pairs=0.2, moving_camera=0.2)
    assert not any(held_out(s) for s in scenes(1, 3000, "train", mixture))
    assert all(held_out(s) for s in scenes(1, 300, "held_out", mixture))


def test_about_a_fifth_of_single_objects_is_held_out():
    rng = random.Random(3)
    both = [sample_scene(rng, "train", Mixture(0, 0, 0)) for _ in range(50)]
    assert all(len(s.actors) == 1 for s in both)
    from vitascope.toyworld import scenes as module

    drawn = [module._any_scene(rng, Mixture(0, 0, 0)) for _ in range(4000)]
    assert 0.14 < sum(map(held_out, drawn)) / len(drawn) < 0.25


def test_nothing_has_a_colour_of_its_background():
    for scene in scenes(5, 500, "train", Mixture(0.4, 0.2, 0.1)):
        assert all(a.colour not in CLASHES[scene.background] for a in scene.actors)


def test_the_list_in_the_repository_is_the_one_that_was_drawn_up():
    prompts = held_out_prompts()
    assert list(prompts) == draw_up()
    assert len(prompts) == 240
    assert sum(p.language == "zh" for p in prompts) == 120
    assert all(held_out(p.scene) for p in prompts)
