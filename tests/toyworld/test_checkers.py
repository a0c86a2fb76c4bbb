"""The checkers read rendered truth right, and are at chance on other scenes."""

from itertools import pairwise

import pytest
import torch

from vitascope.toyworld.checkers import Reader, check
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.renderer import render


@pytest.fixture(scope="module")
def reader():
    return Reader()


def test_rendered_truth_is_read_back(reader):
    prompts = held_out_prompts()[::20]
    verdicts = []
    for prompt in prompts:
        clip = (render([prompt.scene])[0] * 255).round().to(torch.uint8)
        verdicts.append(check(clip, prompt.scene, reader))
    for attribute in ("background", "kind", "colour", "motion"):
        right = [v[attribute] for v in verdicts]
        assert sum(right) >= len(right) - 1, attribute


def test_a_clip_does_not_pass_for_another(reader):
    prompts = held_out_prompts()[3:200:50]
    wrong = 0
    for shown, asked in pairwise(prompts):
        clip = render([shown.scene])[0]
        wrong += not all(check(clip, asked.scene, reader).values())
    assert wrong == len(prompts) - 1


def test_an_empty_clip_shows_nothing(reader):
    seen = reader.read(torch.full((17, 128, 128, 3), 0.97))
    assert (seen.background, seen.kind, seen.colour, seen.direction) == ("white", None, None, None)
