"""Previews: what they show, when they are made, and that they change nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.generators import tiny_cogvideox as tiny
from vitascope.clip import Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.engine.preview import Previews, as_pixels, averaged_down
from vitascope.generators import for_model
from vitascope.task import TextToVideo

FRAMES = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)


def test_a_run_with_previews_shows_pictures_and_makes_the_same_clip(tmp_path):
    engine = Engine(Placement(device="cpu"))
    generator = for_model(str(tiny.save(tmp_path / "2b", "2b")), num_inference_steps=4)
    task = generator.complete(TextToVideo(prompt="a red ball", seed=3))

    def run(every_s):
        shown = []
        context = Context(on_progress=lambda p: shown.append(p.preview), preview_every_s=every_s)
        return generator.generate([task], engine.modules(generator), context)[0].array(), shown

    plain, nothing = run(0.0)
    watched, shown = run(1e-9)
    pictures = [picture for picture in shown if picture is not None]
    assert not any(nothing) and len(pictures) == 4 and all(isinstance(p, Image) for p in pictures)
    assert (pictures[0].height, pictures[0].width) == (32, 32)
    assert np.array_equal(plain, watched)


def test_the_clean_latents_are_shown_where_the_scheduler_tells_them():
    seen = []
    previews = Previews(lambda latents: seen.append(latents) or FRAMES, Context(preview_every_s=1e-9))
    noisy, clean = torch.zeros(2, 1), torch.ones(2, 1)
    for output in ((noisy, clean), {"prev_sample": noisy, "pred_original_sample": clean}):
        assert np.array_equal(previews.of(output).pixels, FRAMES[1])
        assert seen[-1].tolist() == [[1.0]]
    for output in ((noisy,), (noisy, None), (noisy, torch.ones(7))):
        previews.of(output)
        assert seen[-1].tolist() == [[0.0]]


def test_a_preview_that_fails_costs_only_itself():
    def fails(_):
        raise RuntimeError("out of memory\nlong trace")

    context = Context(preview_every_s=1e-9)
    previews = Previews(fails, context)
    assert previews.of((torch.zeros(1),)) is None and previews.of((torch.zeros(1),)) is None
    assert context.warnings == ["no more previews: out of memory"]
    assert Previews(lambda _: None, context).of((torch.zeros(1),)) is None


def test_none_is_made_before_it_is_due():
    previews = Previews(lambda _: pytest.fail("not due"), Context(preview_every_s=60))
    assert previews.of((torch.zeros(1),)) is None


@pytest.mark.parametrize(
    ("size", "small"), [((16, 16), (16, 16)), ((60, 90), (22, 32)), ((4, 400), (2, 32)), ((64, 64), (32, 32))]
)
def test_latents_are_averaged_down_in_their_shape(size, small):
    latents = torch.ones(1, 1, 4, *size)
    assert averaged_down(latents).shape == (1, 1, 4, *small) and averaged_down(latents).min() == 1


def test_pixels_are_clamped():
    frames = torch.tensor([-3.0, 0.0, 3.0]).reshape(1, 3, 1, 1, 1)
    assert as_pixels(frames).tolist() == [[[[0, 128, 255]]]]


@pytest.mark.parametrize("placement", [{"offload": "model"}, {"gpus": 2}, {}])
def test_a_decoder_that_is_not_at_hand_makes_none(placement):
    place = SimpleNamespace(**{"offload": "none", "gpus": 1, **placement})
    made = Previews.where(place, lambda _: FRAMES, Context(preview_every_s=1))
    assert (made is None) == bool(placement)
