"""Suites, and runs that go on where they stopped."""

import json
import sqlite3

import pytest

from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.errors import InvalidMedia, JobCancelled, NotFound, RequestError, RunError, UnknownName
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.leaderboard import build_board
from vitascope.evaluation.runs import SuiteRun, default_metrics, fitted_to, open_run
from vitascope.evaluation.suites import (
    Item,
    Suite,
    find_suite,
    read_suite,
    read_vbench_prompts,
    suite_names,
)
from vitascope.metrics import METRICS
from vitascope.task import ImageToVideo, TextToVideo
from vitascope.workflows import Chain

SUITE = Suite(
    name="two",
    items=(
        Item(id="star", prompt="a star", fields={"width": 64, "height": 64, "num_frames": 5}),
        Item(id="moon", prompt="a moon", seed=3, fields={"width": 64, "height": 64, "num_frames": 5}),
    ),
)


BARS, SLOW = Contender.parse("colour-bars"), Contender.parse("colour-bars+num_inference_steps=8")


@pytest.fixture
def run(tmp_path):
    return SuiteRun(SUITE, tmp_path / "run")


def test_the_suites_that_come_along_are_valid():
    assert "everyday" in suite_names()
    for name in suite_names():
        suite = find_suite(name)
        assert suite.summary and len({item.prompt for item in suite.items}) == len(suite.items)
        kind = ImageToVideo if name.endswith("images") else TextToVideo
        assert all(type(item.task()) is kind for item in suite.items)


def test_a_suite_file_may_start_from_pictures_beside_it(tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 24), "red").save(tmp_path / "red.png")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nitems:\n  - {id: red, prompt: it turns, image: red.png, fields: {num_frames: 9}}\n"
    )
    task = find_suite(str(tmp_path / "mine.yaml")).items[0].task()
    assert isinstance(task, ImageToVideo) and task.num_frames == 9 and task.image.width == 32


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("name: x\nitems: []\n", "items"),
        ("name: x\nitems:\n  - {id: a, prompt: b}\n  - {id: a, prompt: c}\n", "'a' stands for two items"),
        ("name: x\nitems:\n  - {id: a, prompt: b, colour: red}\n", "colour"),
        ("name: [x\n", "not YAML"),
    ],
)
def test_a_broken_suite_is_refused_with_its_place(tmp_path, content, complaint):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(InvalidMedia, match=complaint):
        read_suite(tmp_path / "x.yaml")


def test_unknown_suites_are_refused():
    with pytest.raises(UnknownName, match="everyday"):
        find_suite("everyday-things")
    with pytest.raises(NotFound):
        find_suite("missing.yaml")


def test_clips_are_made_measured_and_put_on_a_board(run):
    made = run.make([BARS, SLOW], Engine(), Context())
    assert len(made) == 4 and all((run.folder / clip.path).is_file() for clip in made)
    names = ("temporal-flickering", "ssim", "sharpness")
    measured = run.measure([METRICS[name]() for name in names], Context())
    assert len(measured) == 12
    board = build_board("t2v", measurements=measured, costs=run.costs())
    assert {row.algorithm for row in board.rows} == {BARS.name, SLOW.name}
    assert all(row.seconds > 0 for row in board.rows)
    assert board.rows[0].cells["temporal-flickering"].items == 2
    assert board.rows[0].cells["ssim"].note == "needs a reference clip"


def test_a_run_goes_on_where_it_was_stopped(run):
    stopped = Context(
        on_progress=lambda at: stopped.cancel.set() if at.stage == "suite" and at.step == 1 else None
    )
    with pytest.raises(JobCancelled):
        run.make([BARS], Engine(), stopped)
    first = run.made()
    assert [clip.item for clip in first] == ["star"]
    again = run.make([BARS], Engine(), Context())
    assert again[0] == first[0] and [clip.item for clip in again] == ["star", "moon"]


def test_a_failing_item_stops_nothing_and_is_tried_again(run, monkeypatch):
    broken = {"moon"}
    original = Chain.run

    def fails(self, task, *rest):
        if any(word in task.prompt for word in broken):
            raise RunError("the denoiser gave nan")
        return original(self, task, *rest)

    monkeypatch.setattr(Chain, "run", fails)
    made = run.make([BARS], Engine(), Context())
    assert [clip.failed for clip in made] == [None, "the denoiser gave nan"]
    assert len(run.measure([METRICS["sharpness"]()], Context())) == 1
    broken.clear()
    assert [clip.failed for clip in run.make([BARS], Engine(), Context())] == [None, None]


def test_what_was_measured_is_not_measured_again(run, monkeypatch):
    run.make([BARS], Engine(), Context())
    before = run.measure([METRICS["sharpness"]()], Context())
    monkeypatch.setattr("vitascope.evaluation.runs.read", lambda path: pytest.fail("decoded again"))
    assert run.measure([METRICS["sharpness"]()], Context()) == before


def test_other_knobs_need_another_folder(run):
    run.make([BARS], Engine(), Context())
    with pytest.raises(RequestError, match="with other knobs"):
        run.make([SLOW.model_copy(update={"name": BARS.name})], Engine(), Context())


def test_a_damaged_record_is_refused(run):
    run.make([BARS], Engine(), Context())
    with sqlite3.connect(run.results.path) as connection:
        connection.execute("ALTER TABLE clips ADD COLUMN colour TEXT DEFAULT 'red'")
    with pytest.raises(InvalidMedia, match="not a record of a suite's run"):
        run.made()


def test_two_names_for_one_recipe_share_a_file(run):
    twin = BARS.model_copy(update={"name": "twin"})
    made = run.make([BARS, twin], Engine(), Context())
    assert len({clip.path for clip in made}) == len(SUITE.items)


def test_a_run_is_opened_again_and_refuses_another_suite(run):
    run.make([BARS], Engine(), Context())
    again = open_run(run.folder)
    assert again.suite == SUITE and set(again.clips()) == {"star", "moon"}
    other = Suite(name="other", items=(SUITE.items[0].model_copy(update={"prompt": "a sun"}),))
    with pytest.raises(RequestError, match="another suite"):
        SuiteRun(other, run.folder).begin()
    with pytest.raises(NotFound, match="no run"):
        open_run(run.folder / "clips")


@pytest.mark.parametrize(
    "text, kind, complaint",
    [
        ("sprout:fast", UnknownName, "turbo"),
        ("spruot", UnknownName, "sprout"),
        ("colour-bars+num_inference_steps", RequestError, "no setting"),
        ("colour-bars+steps=3", UnknownName, "num_inference_steps"),
        (":turbo", RequestError, "names no model"),
    ],
)
def test_a_contender_that_cannot_be_is_refused(text, kind, complaint):
    with pytest.raises(kind, match=complaint):
        Contender.parse(text)


def test_answers_of_the_toy_world_are_read_back(tmp_path):
    from fractions import Fraction

    from vitascope.clip import Clip
    from vitascope.evaluation.answers import score_answers
    from vitascope.toyworld.prompts import held_out_prompts
    from vitascope.toyworld.renderer import render

    right, wrong = find_suite("toyworld").items[0], find_suite("toyworld").items[1]
    frames = (render([held_out_prompts()[right.answer].scene])[0] * 255).round().byte().numpy()
    clip = Clip(frames, Fraction(8))
    assert {m.value for m in score_answers(clip, right, "truth")} == {1.0}
    assert {m.metric: m.value for m in score_answers(clip, wrong, "truth")}["answer-all"] == 0.0
    names = {m.metric for m in score_answers(clip, right, "truth")}
    other = list(score_answers(Clip(frames[:, :64], Fraction(8)), right, "foreign"))
    assert {m.metric for m in other} == names and {m.value for m in other} == {None}
    assert "this one is 128 x 64" in other[0].not_measured


VBENCH_ENTRIES = [
    {"prompt_en": "a dog runs", "dimension": ["subject_consistency", "dynamic_degree"]},
    {
        "prompt_en": "a person",
        "dimension": ["object_class"],
        "auxiliary_info": {"object_class": {"object": "person"}},
    },
    {
        "prompt_en": "a bird and a cat",
        "dimension": ["multiple_objects"],
        "auxiliary_info": {"multiple_objects": {"object": "bird and cat"}},
    },
    {
        "prompt_en": "a red fire hydrant",
        "dimension": ["color"],
        "auxiliary_info": {"color": {"color": "red"}},
    },
    {
        "prompt_en": "a bicycle on the left of a car, front view",
        "dimension": ["spatial_relationship"],
        "auxiliary_info": {
            "spatial_relationship": {
                "spatial_relationship": {
                    "object_a": "bicycle",
                    "object_b": "car",
                    "relationship": "on the left of",
                }
            }
        },
    },
    {
        "prompt_en": "alley",
        "dimension": ["scene"],
        "auxiliary_info": {"scene": {"scene": {"scene": "alley"}}},
    },
    {"prompt_en": "A person is riding a bike", "dimension": ["human_action"]},
    {
        "prompt_en": "A beach, Van Gogh style",
        "dimension": ["appearance_style"],
        "auxiliary_info": {"appearance_style": {"appearance_style": "Van Gogh style"}},
    },
]


def test_vbench_prompts_are_taken_with_what_their_metrics_want_to_know(tmp_path):
    path = tmp_path / "VBench_full_info.json"
    path.write_text(json.dumps(VBENCH_ENTRIES))
    suite = find_suite(str(path))
    assert suite.items[0].dimensions == ("subject_consistency", "dynamic_degree")
    assert [item.about for item in suite.items[1:]] == [
        {"object_class": "person"},
        {"objects": "bird and cat"},
        {"colour": "red", "colour_of": "fire hydrant"},
        {"object_a": "bicycle", "object_b": "car", "relation": "on the left of"},
        {"scene": "alley"},
        {"action": "riding a bike"},
        {"style": "Van Gogh style"},
    ]
    names = {metric.name for metric in default_metrics(suite)}
    assert {"dynamic-degree", "color-owl", "human-action-videomae", "sharpness"} <= names
    assert "aesthetic-quality" not in names, "no prompt of that dimension"
    fitted = fitted_to(METRICS["spatial-relationship-owl"](), suite.items[4])
    assert (fitted.object_a, fitted.relation) == ("bicycle", "on the left of")
    seeds = read_vbench_prompts(path, num_seeds=2).items[:3]
    assert [(item.id, item.seed) for item in seeds] == [("0000-0", 0), ("0000-1", 1), ("0001-0", 0)]


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("[]", "items"),
        ("{}", "list"),
        ("no", "not VBench's list"),
        ('[{"prompt": "a dog"}]', "entry 0"),
        ('[{"prompt_en": "a", "dimension": ["color"], "auxiliary_info": {"color": 3}}]', "entry 0"),
        ('[{"prompt_en": 3, "dimension": ["scene"]}]', "entry 0"),
    ],
)
def test_what_is_no_vbench_list_is_refused_with_its_entry(tmp_path, content, complaint):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InvalidMedia, match=complaint):
        find_suite(str(tmp_path / "x.json"))
