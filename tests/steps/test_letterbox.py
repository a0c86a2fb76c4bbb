"""Pad, generate, crop back: the whole picture, its shape, and no border left."""

import json
from fractions import Fraction
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, UnsupportedTask
from vitascope.generators import Generator
from vitascope.media import read, write
from vitascope.poses import PoseSequence
from vitascope.recipe import Recipe
from vitascope.steps import STEPS
from vitascope.task import ImageToVideo, MotionToVideo, TextToVideo, TrajectoryToVideo, VideoToVideo
from vitascope.tracks import Trajectories
from vitascope.workflows import Chain

Letterbox = STEPS["letterbox"]
CANVAS = (192, 128)


class Painter(Generator):
    """Shows the task's picture for some frames, with the faults that models have at borders."""

    name: ClassVar[str] = "painter"
    accepts: ClassVar = (ImageToVideo, VideoToVideo, TrajectoryToVideo)

    creep: int = 0  # rows and columns of border that grow into the picture
    blur: float = 0.0  # smears border and picture into each other
    noise: float = 2.0
    fade: bool = False
    enlarged: int = 1

    def complete(self, task):
        self.check_kind(task)
        size = {"width": task.width or CANVAS[0], "height": task.height or CANVAS[1]}
        return task.model_copy(update={**size, "num_frames": task.num_frames or 8})

    def load(self, placement):
        return None

    def generate(self, tasks, modules: Any, context):
        return [self._painted(task) for task in tasks]

    def _painted(self, task):
        picture = task.video.array()[0] if isinstance(task, VideoToVideo) else task.image.pixels
        assert picture.shape[:2] == (task.height, task.width), "the generator gets what its size is"
        dark = picture.max(axis=2) == 0
        rows, columns = np.flatnonzero(~dark.all(axis=1)), np.flatnonzero(~dark.all(axis=0))
        frames = []
        for number in range(task.num_frames):
            frame = picture.astype(np.float32)
            grown = round(self.creep * min(1, number / 4))
            if grown and rows[0] > 0:
                frame[: rows[0] + grown], frame[rows[-1] + 1 - grown :] = 0, 0
            if grown and columns[0] > 0:
                frame[:, : columns[0] + grown], frame[:, columns[-1] + 1 - grown :] = 0, 0
            if self.blur:
                frame = cv2.GaussianBlur(frame, (0, 0), self.blur)
            if self.fade:
                frame *= 1 - number / task.num_frames
            noise = np.random.default_rng(number).normal(0, self.noise, frame.shape)
            frames.append((frame + noise).clip(0, 255).astype(np.uint8))
        stack = np.stack(frames).repeat(self.enlarged, 1).repeat(self.enlarged, 2)
        return Clip(stack, Fraction(8), recipe=Recipe().then(self.stage(task)))


def textured(width, height, seed=0):
    """A picture as photographs are: structure at all scales, light at its edges."""
    rng = np.random.default_rng(seed)
    layers = [
        weight * cv2.resize(rng.normal(0, 1, (max(2, height // s), max(2, width // s), 3)), (width, height))
        for s, weight in ((4, 20), (16, 30))
    ]
    return Image((150 + sum(layers)).clip(40, 255).astype(np.uint8))


def generate(picture, painter=None, step=None, context=None, **task):
    chain = Chain(around=(step or Letterbox(),), generator=painter or Painter())
    return chain.run(
        ImageToVideo(prompt="x", image=picture, **task),
        Engine(Placement(device="cpu")),
        context or Context(),
    )


def said(clip):
    stage = clip.recipe.stages[-1]
    assert stage.name == "letterbox"
    return stage.notes


@pytest.mark.parametrize("fill", ["black", "blur", "mirror"])
@pytest.mark.parametrize("size", [(300, 120), (100, 250), (192, 128), (401, 333), (128, 128)])
def test_the_picture_comes_back_whole_and_in_its_shape(size, fill):
    picture = textured(*size)
    clip = generate(picture, Painter(noise=0), Letterbox(fill=fill))
    width, height = size
    assert clip.width % 2 == clip.height % 2 == 0
    assert (
        min(abs(clip.width - clip.height * width / height), abs(clip.height - clip.width * height / width))
        <= 1
    )
    assert clip.width == CANVAS[0] or clip.height == CANVAS[1]
    shrunk = cv2.resize(picture.pixels, (clip.width, clip.height), interpolation=cv2.INTER_AREA)
    assert np.abs(clip.array()[0].astype(int) - shrunk).mean() < 6
    assert not any(said(clip)["border_in_picture"].values())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(80, 400), st.integers(80, 400))
def test_any_shape_keeps_within_one_pixel_and_shows_no_border(width, height):
    clip = generate(textured(width, height), Painter(creep=3))
    off = min(abs(clip.width - clip.height * width / height), abs(clip.height - clip.width * height / width))
    assert off <= 1
    assert clip.width % 2 == clip.height % 2 == 0
    for edge in (clip.array()[:, 0], clip.array()[:, -1], clip.array()[:, :, 0], clip.array()[:, :, -1]):
        assert np.median(edge) > 60


def test_the_thinnest_picture_that_is_taken_loses_its_border_too():
    clip = generate(textured(60, 366), Painter(creep=3))
    assert said(clip)["box"] == [86, 0, 20, 128]
    assert np.median(clip.array()[:, :, [0, -1]]) > 60
    with pytest.raises(UnsupportedTask, match="60x420"):
        generate(textured(60, 420))


@pytest.mark.parametrize("size", [(300, 120), (100, 250)])
@pytest.mark.parametrize("creep", [0, 1, 3, 5])
def test_border_that_grows_into_the_picture_is_measured_and_cropped(size, creep):
    clip = generate(textured(*size), Painter(creep=creep))
    grown = said(clip)["border_in_picture"]
    sides = ("top", "bottom") if size[0] > size[1] else ("left", "right")
    assert {side: grown[side] for side in sides} == dict.fromkeys(sides, creep)
    assert sum(grown.values()) == 2 * creep
    along = 1 if size[0] > size[1] else 2
    for line in (0, -1):
        assert np.median(clip.array().take(line, axis=along)) > 80


@pytest.mark.parametrize("blur", [0.8, 1.5, 2.5])
def test_border_smeared_into_the_picture_is_measured_and_cropped(blur):
    picture = textured(300, 120)
    clip = generate(picture, Painter(blur=blur))
    cut = said(clip)["border_in_picture"]
    assert 1 <= cut["top"] <= 4 and 1 <= cut["bottom"] <= 4
    luma = clip.array().mean(axis=(0, 2, 3))
    assert luma[0] > 0.8 * luma[4:8].mean() and luma[-1] > 0.8 * luma[-8:-4].mean()


def test_dark_edges_of_the_picture_itself_are_kept():
    picture = textured(300, 120)
    picture.pixels[-30:] = 3
    picture.pixels[:8] = 0
    clip = generate(picture)
    assert not any(said(clip)["border_in_picture"].values())
    assert clip.array()[:, -4:].max() < 30


def test_a_fade_to_black_is_no_border():
    clip = generate(textured(300, 120), Painter(fade=True))
    assert not any(said(clip)["border_in_picture"].values())


def test_border_that_is_never_gone_is_warned_about(monkeypatch):
    from vitascope.media.borders import Sides
    from vitascope.steps import letterbox

    monkeypatch.setattr(letterbox, "remaining_border", lambda *a: Sides(top=1))
    context = Context()
    generate(textured(300, 120), context=context)
    assert "border may be left" in context.warnings[0]


def test_the_task_s_size_comes_first_then_the_knobs_then_the_generator_s():
    picture = textured(300, 100)
    assert said(generate(picture, width=160, height=160))["canvas"] == [160, 160]
    assert said(generate(picture, step=Letterbox(width=256, height=128)))["canvas"] == [256, 128]
    assert said(generate(picture))["canvas"] == [*CANVAS]
    assert generate(picture, step=Letterbox(width=256, height=128)).recipe.stages[0].task["width"] == 256


def test_the_note_is_json_and_the_recipe_says_where_the_picture_came_from(tmp_path):
    picture = textured(300, 120)
    step = Letterbox(width=192, height=128)
    prepared, note = step.prepare(
        ImageToVideo(prompt="x", image=Image(picture.pixels, path=tmp_path / "a.png")), Context()
    )
    assert json.loads(json.dumps(note)) == note
    assert note["picture"].endswith("a.png")
    assert prepared.image.path is None, "the padded pixels are in no file"
    assert (prepared.image.width, prepared.image.height) == CANVAS
    assert "edges" not in said(generate(picture))


def test_a_clip_that_was_enlarged_before_it_is_cropped():
    clip = generate(textured(300, 120), Painter(enlarged=2, creep=2))
    assert clip.width / clip.height == pytest.approx(300 / 120, abs=0.02)
    assert clip.width > 350
    assert np.median(clip.array()[:, 0]) > 60
    with pytest.raises(InvalidMedia, match=r"192x128.*100x100"):
        _, note = Letterbox(width=192, height=128).prepare(
            ImageToVideo(prompt="x", image=textured(300, 120)), Context()
        )
        Letterbox().apply(Clip(np.zeros((2, 100, 100, 3), np.uint8), 8), note, None, Context())


def test_given_clips_are_padded_frame_by_frame_with_their_mask():
    frames = np.repeat(textured(100, 40).pixels[None], 5, 0)
    mask = np.full((5, 40, 100), 255, np.uint8)
    task = VideoToVideo(prompt="x", video=Clip(frames, 8, mask=mask))
    prepared, note = Letterbox(width=192, height=128).prepare(task, Context())
    assert prepared.video.frames.shape == (5, 128, 192, 3)
    left, top, width, height = note["box"]
    assert prepared.video.mask[:, top : top + height, left : left + width].min() == 255
    assert prepared.video.mask[:, :top].max() == 0
    back = Letterbox().apply(prepared.video, note, None, Context())
    assert back.mask.shape == back.frames.shape[:3]
    assert back.mask.min() == 255


def test_drawn_paths_move_with_the_picture():
    paths = Trajectories(paths=(((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)),))
    task = TrajectoryToVideo(prompt="x", trajectories=paths, image=textured(200, 100))
    prepared, note = Letterbox(width=100, height=100).prepare(task, Context())
    assert note["box"] == [0, 25, 100, 50]
    assert prepared.trajectories.paths[0] == ((0.0, 0.25), (0.5, 0.5), (1.0, 0.75))


def test_refuses_before_anything_is_loaded():
    engine, context = Engine(Placement(device="cpu")), Context()
    thin = ImageToVideo(prompt="x", image=Image(np.zeros((4, 4000, 3), np.uint8)))
    with pytest.raises(UnsupportedTask, match="4000x4"):
        Chain(around=(Letterbox(),), generator=Painter()).check(thin)
    with pytest.raises(UnsupportedTask, match="none that it can"):
        Chain(around=(Letterbox(),), generator=Painter()).run(
            TrajectoryToVideo(prompt="x", trajectories=Trajectories(paths=(((0, 0),),))), engine, context
        )
    with pytest.raises(UnsupportedTask, match="size"):
        Letterbox().prepare(ImageToVideo(prompt="x", image=textured(64, 64)), context)
    person = tuple((0.5, 0.5, 1.0) for _ in range(18))
    motion = MotionToVideo(image=textured(64, 64), poses=PoseSequence(frames=((person,),)))
    with pytest.raises(UnsupportedTask, match="motion-to-video"):
        Letterbox(width=96, height=64).prepare(motion, context)
    with pytest.raises(ValidationError, match="both sides"):
        Letterbox(width=192)
    with pytest.raises(ValidationError, match="multiple"):
        Letterbox(width=191, height=100)


def test_after_a_generation_a_text_needs_no_picture():
    chain = Chain(generator=Painter(), after=(Letterbox(width=256, height=256),))
    task = VideoToVideo(prompt="x", video=Clip(np.repeat(textured(*CANVAS).pixels[None], 3, 0), 8))
    clip = chain.run(task, Engine(Placement(device="cpu")), Context())
    assert (clip.width, clip.height) == (256, 256)
    Letterbox().check(TextToVideo(prompt="x"))


def test_alone_with_a_size_it_pads(tmp_path):
    clip = read(write(Clip(np.repeat(textured(96, 64).pixels[None], 6, 0), 8), tmp_path / "x.mp4"))
    padded = Letterbox(width=128, height=128).apply(clip, {}, None, Context())
    assert padded.frames.shape == (6, 128, 128, 3)
    assert padded.array()[:, :20].max() == 0
    assert said(padded)["box"] == [0, 21, 128, 86]
    back = read(padded.save(tmp_path / "y.mp4"))
    assert back.recipe.stages[-1].name == "letterbox"


def test_alone_without_a_size_it_crops_black_bars_of_a_lossy_file(tmp_path):
    frames = np.zeros((6, 128, 128, 3), np.uint8)
    frames[:, 21:107] = textured(128, 86).pixels
    clip = read(write(Clip(frames, 8), tmp_path / "x.mp4", crf=28))
    cropped = Letterbox().apply(clip, {}, None, Context())
    assert cropped.width == 128
    assert 84 <= cropped.height <= 86
    assert np.median(cropped.array()[:, [0, -1]]) > 60
    assert 21 <= said(cropped)["bars"]["top"] <= 22
    assert Letterbox().apply(cropped, {}, None, Context()) is cropped, "nothing is left to crop"
    black = Clip(np.zeros((3, 32, 32, 3), np.uint8), 8)
    assert Letterbox().apply(black, {}, None, Context()) is black
