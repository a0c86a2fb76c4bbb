"""The renderer draws the same pixels every time, and tells who covers them."""

import torch

from vitascope.toyworld.renderer import draw, plan, render
from vitascope.toyworld.scenes import COLOURS, Actor, Mixture, Scene, scenes


def test_the_same_scene_gives_the_same_pixels_alone_or_in_company():
    chosen = list(scenes(4, 6, "train", Mixture(0.4, 0.3, 0.3)))
    together = render(chosen, size=32)
    assert together.shape == (6, 17, 32, 32, 3)
    assert together.min() >= 0 and together.max() <= 1
    assert torch.equal(together, render(chosen, size=32))
    for i, scene in enumerate(chosen):
        torch.testing.assert_close(render([scene], size=32)[0], together[i], rtol=0, atol=1e-5)


def test_cover_lies_where_the_object_is_and_has_its_colour():
    scene = Scene("white", (Actor("square", "red", "right", "big"),))
    drawn = draw(plan([scene]), 64)
    cover = drawn.cover[0, 0]
    columns = torch.arange(64) + 0.5
    centre = (cover.sum(1) * columns).sum(1) / cover.sum((1, 2))
    assert (centre.diff() > 0.5).all()
    inside = drawn.frames[0][cover > 0.99]
    assert (inside.median(0).values - torch.tensor(COLOURS["red"])).abs().max() < 0.05


def test_pairs_keep_their_places():
    pair = Scene(
        "grey", (Actor("ball", "red", "still", place="left"), Actor("ball", "blue", "still", place="right"))
    )
    cover = draw(plan([pair]), 32).cover[0]
    assert cover[0, :, :, :16].sum() > 20 * cover[0, :, :, 16:].sum()
    assert cover[1, :, :, 16:].sum() > 20 * cover[1, :, :, :16].sum()


def test_people_of_every_build_stand_apart():
    people = [
        Scene("grey", (Actor("person", "red", "stand", who="man", build=b),))
        for b in ("thin", "average", "fat")
    ]
    areas = draw(plan(people, 1), 64).cover[:, 0].sum((1, 2, 3))
    assert areas[0] < areas[1] < areas[2]
