"""A rerun starts at the first stage that changed."""

import os
import time

import numpy as np
import pytest

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import DiskFull
from vitascope.generators.colour_bars import ColourBars
from vitascope.labels.policy import Policy, labelled
from vitascope.recipe import AigcLabel, Recipe
from vitascope.settings import Settings
from vitascope.steps.base import Step
from vitascope.steps.letterbox import Letterbox
from vitascope.steps.reverse import Reverse
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo
from vitascope.workflows import Chain, ClipStore
from vitascope.workflows.generate import clip_from

RAN = []


class Counting(ColourBars):
    """Colour bars that say when they are made, and stand for a model that takes any placement."""

    def load(self, placement):
        return ()

    def generate(self, tasks, modules, context):
        RAN.append("generate")
        return super().generate(tasks, modules, context)


class Shift(Step):
    """Moves every frame; says when it ran; fails when told to."""

    by: int = 1
    fails: bool = False

    def apply(self, clip, note, modules, context):
        RAN.append(f"shift {self.by}")
        if self.fails:
            raise RuntimeError("power cut")
        return clip.with_frames(np.roll(clip.array(), self.by, axis=2), recipe=clip.recipe.then(self.stage()))


class Echo(ColourBars):
    """Gives back what it starts from."""

    accepts = (VideoToVideo, ImageToVideo)

    def complete(self, task):
        return task

    def generate(self, tasks, modules, context):
        recipes = [Recipe().then(self.stage(task)) for task in tasks]
        frames = [
            np.stack([task.image.pixels] * 5) if isinstance(task, ImageToVideo) else task.video.array()
            for task in tasks
        ]
        return [Clip(pixels, 8, recipe=recipe) for pixels, recipe in zip(frames, recipes, strict=True)]


def grey(value, height=64):
    return Clip(np.full((5, height, 64, 3), value, np.uint8), 8)


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def run(tmp_path, *after, fresh=False, prompt="a star", **placed):
    chain = Chain(generator=Counting(), after=after)
    store = ClipStore(tmp_path / "clips", fresh=fresh)
    engine = Engine(Placement(device="cpu", **placed))
    clip = chain.run(TextToVideo(prompt=prompt), engine, Context(), store)
    return clip, list(RAN)


def test_a_second_run_makes_nothing_again(tmp_path):
    first, _ = run(tmp_path, Shift(by=3))
    RAN.clear()
    second, ran = run(tmp_path, Shift(by=3))
    assert ran == []
    assert np.array_equal(first.array(), second.array())
    assert first.recipe == second.recipe
    assert first.fps == second.fps


@pytest.mark.parametrize(
    ("placed", "again"),
    [
        ({"speed": "turbo"}, True),
        ({"dtype": "bfloat16"}, True),
        ({"memory_gib": 24.0}, False),
        ({"prompt_cache": False}, False),
    ],
)
def test_what_decides_the_frames_makes_the_clip_again(tmp_path, placed, again):
    run(tmp_path, Shift(by=3))
    RAN.clear()
    _, ran = run(tmp_path, Shift(by=3), **placed)
    assert ran == (["generate", "shift 3"] if again else [])


@pytest.mark.parametrize("placed", [{"text_encoder_precision": "int8"}, {"vae_tiling": True}])
def test_what_bars_have_not_decides_other_models_frames(placed):
    as_it_is, changed = (Engine(Placement(device="cpu", **given)).asked for given in ({}, placed))
    assert as_it_is.deciding() != changed.deciding()


def test_a_file_with_other_content_makes_the_clip_again(tmp_path):
    class Weighty(Counting):
        weights_file: str = ""

    store, weights = ClipStore(tmp_path / "clips"), tmp_path / "weights.safetensors"
    chain = Chain(generator=Weighty(weights_file=str(weights)))
    for content, ran in ((b"one", 1), (b"one", 1), (b"two", 2)):
        weights.write_bytes(content)
        chain.run(TextToVideo(prompt="a star"), Engine(Placement(device="cpu")), Context(), store)
        assert len(RAN) == ran


def test_one_changed_parameter_restarts_at_its_step(tmp_path):
    run(tmp_path, Shift(by=3), Shift(by=4))
    RAN.clear()
    _, ran = run(tmp_path, Shift(by=3), Shift(by=5))
    assert ran == ["shift 5"]
    RAN.clear()
    _, ran = run(tmp_path, Shift(by=2), Shift(by=4))
    assert ran == ["shift 2", "shift 4"]


def test_a_crash_loses_nothing_that_was_finished(tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path, Shift(by=3), Shift(by=4, fails=True))
    RAN.clear()
    _, ran = run(tmp_path, Shift(by=3), Shift(by=4))
    assert ran == ["shift 4"]


def test_another_prompt_shares_nothing_and_fresh_makes_all_again(tmp_path):
    run(tmp_path, Shift(by=3))
    RAN.clear()
    _, ran = run(tmp_path, Shift(by=3), prompt="a ring")
    assert ran == ["generate", "shift 3"]
    RAN.clear()
    _, ran = run(tmp_path, Shift(by=3), fresh=True)
    assert ran == ["generate", "shift 3"]


def test_a_damaged_clip_is_made_again(tmp_path):
    run(tmp_path, Shift(by=3))
    for path in (tmp_path / "clips").rglob("*"):
        if path.is_file() and path.suffix != ".json":
            path.write_bytes(path.read_bytes()[:50])
    RAN.clear()
    clip, ran = run(tmp_path, Shift(by=3))
    assert ran == ["generate", "shift 3"]
    assert clip.num_frames == 17


def test_a_given_clip_is_known_by_its_content(tmp_path):
    chain = Chain(after=(Shift(by=3), Reverse()))
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    for changed, expected in ((0, ["shift 3"]), (0, []), (1, ["shift 3"])):
        RAN.clear()
        given = frames.copy()
        given[4, 0, 0, 0] ^= changed
        store = ClipStore(tmp_path / "clips")
        chain.run_after(Clip(given, 8), Engine(Placement(device="cpu")), Context(), store)
        assert expected == RAN


def test_a_clip_that_was_replaced_under_its_name_is_made_anew_from_what_it_holds_now(tmp_path):
    engine, store = Engine(Placement(device="cpu")), ClipStore(tmp_path / "clips")
    for value in (20, 200):
        grey(value).save(tmp_path / "in.mp4")
        task = VideoToVideo(prompt="a star", video=clip_from(tmp_path / "in.mp4"))
        clip = Chain(generator=Echo()).run(task, engine, Context(), store)
        assert abs(int(clip.array()[2, 30, 30, 0]) - value) < 5


def test_what_a_clip_is_padded_with_makes_it_again(tmp_path):
    engine, store = Engine(Placement(device="cpu")), ClipStore(tmp_path / "clips")
    for fill in ("black", "mirror"):
        chain = Chain(around=(Letterbox(width=64, height=64, fill=fill),), generator=Echo())
        chain.run(VideoToVideo(prompt="a star", video=grey(100, height=48)), engine, Context(), store)
    assert len(clips_in(tmp_path)) == 4


def test_a_label_is_kept_though_the_same_frames_were_treated_before_without_one(tmp_path):
    engine, store = Engine(Placement(device="cpu")), ClipStore(tmp_path / "clips")
    plain = grey(100)
    marked = labelled(plain, Policy(cn=True), Settings(home=tmp_path))
    treated = [
        Chain(after=(Reverse(),)).run_after(clip, engine, Context(), store) for clip in (plain, marked)
    ]
    assert [clip.recipe.labels.words for clip in treated] == ["none", "cn"]
    pixels = plain.array()[0, :48]
    made = [
        Chain(around=(Letterbox(width=64, height=64),), generator=Echo()).run(
            ImageToVideo(prompt="a star", image=Image(pixels, aigc=label)), engine, Context(), store
        )
        for label in (None, AigcLabel(content_producer="Somebody"))
    ]
    assert [clip.recipe.labels.words for clip in made] == ["none", "cn"]


def test_a_mask_is_kept_though_the_same_frames_were_treated_before_without_one(tmp_path):
    engine, store = Engine(Placement(device="cpu")), ClipStore(tmp_path / "clips")
    masked = Clip(grey(9).array(), 8, mask=np.full((5, 64, 64), 255, np.uint8))
    chain = Chain(after=(Letterbox(width=128, height=64),))
    treated = [chain.run_after(clip, engine, Context(), store) for clip in (grey(9), masked)]
    assert [clip.mask is None for clip in treated] == [True, False]


def test_a_batch_keeps_the_labels_of_what_its_clips_start_from():
    tasks = [
        ImageToVideo(prompt="a star", image=Image(grey(9).array()[0], aigc=label))
        for label in (AigcLabel(content_producer="Somebody"), None)
    ]
    clips = Chain(generator=Echo()).run_batch(tasks, Engine(Placement(device="cpu")), Context())
    assert [clip.recipe.labels.words for clip in clips] == ["cn", "none"]


def clips_in(tmp_path):
    return {path for path in (tmp_path / "clips").iterdir() if path.is_dir()}


def test_the_clips_used_longest_ago_make_room(tmp_path):
    (tmp_path / "clips").mkdir()
    ages = {}
    for number in range(4):
        before = clips_in(tmp_path)
        run(tmp_path, prompt=f"star {number}")
        (new,) = clips_in(tmp_path) - before
        os.utime(new, (number, number))
        ages[number] = new
    one = 17 * 128 * 128 * 3 / 2**30
    store = ClipStore(tmp_path / "clips", limit_gib=3.5 * one)
    assert store.get(ages[0].name) is not None, "used again, so the youngest now"
    store.put("new", Clip(np.zeros((17, 128, 128, 3), np.uint8), 8))
    assert clips_in(tmp_path) == {ages[0], ages[3], tmp_path / "clips" / "new"}
    store.put("huge", Clip(np.zeros((80, 128, 128, 3), np.uint8), 8))
    assert not (tmp_path / "clips" / "huge").exists()
    assert ClipStore(tmp_path / "clips").prune(0) > 3 * one * 2**30
    assert clips_in(tmp_path) == set()


def test_what_killed_runs_left_goes_after_a_day(tmp_path):
    for name, age in ((".old", 90_000), (".young", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "frames.npy").write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert ClipStore(tmp_path).prune(2**30) == 100
    assert [path.name for path in tmp_path.iterdir()] == [".young"]


def test_a_store_without_room_costs_the_rerun_and_not_the_run(tmp_path, monkeypatch):
    def full(clip, path):
        raise DiskFull("no space left")

    monkeypatch.setattr("vitascope.workflows.store.write_lossless", full)
    context = Context()
    chain = Chain(generator=Counting(), after=(Shift(by=3),))
    store = ClipStore(tmp_path / "clips")
    clip = chain.run(TextToVideo(prompt="a star"), Engine(Placement(device="cpu")), context, store)
    assert clip.num_frames == 17
    assert context.warnings == ["this stage is not kept for reruns: no space left"]
    assert store.used == []
