"""The fine-tuning lessons: what is asked was never taught, and rendered truth passes the judges."""

import csv
from pathlib import Path

import pytest
import torch

from vitascope.toyworld import lessons
from vitascope.toyworld.looks import LOOKS, BlueprintReader, LookReader, render_in
from vitascope.toyworld.scenes import Actor, Scene

EXAMPLES = Path(__file__).parents[2] / "examples"


def captions(folder):
    with (EXAMPLES / folder / "captions.csv").open(encoding="utf-8") as stream:
        return [row["caption"] for row in csv.DictReader(stream)]


def test_the_shipped_clips_teach_by_the_trigger_word_alone():
    for example, word, clips in (
        ("style", lessons.STYLE, (288, 120)),
        ("character", lessons.NAME, (48, 144)),
    ):
        taught, kept = captions(f"{example}/clips/taught"), captions(f"{example}/clips/kept")
        assert (len(taught), len(kept)) == clips
        assert all(word in caption.lower() for caption in taught)
        assert not any(word in caption.lower() for caption in kept)
    described = ("orange", "purple", "violet", "橙", "紫")
    named = captions("character/clips/taught")
    assert not any(word in caption.lower() for caption in named for word in described), (
        "she is never described"
    )


def test_what_is_asked_was_never_taught():
    asked = lessons.character_questions()
    assert len({(q.scene.background, q.scene.actors[0].motion) for q in asked}) == lessons.HELD_BACK
    taught = set(captions("character/clips/taught"))
    for question in (*asked, *lessons.style_questions()):
        assert question.prompt not in taught
        assert question.prompt.lower().startswith(lessons.STYLE) or lessons.NAME in question.prompt.lower()
        assert lessons.STYLE not in question.without_trigger
        assert lessons.NAME not in question.without_trigger.lower()


def test_every_look_is_told_from_the_others():
    scene = Scene("meadow", (Actor("ball", "red", "right"),))
    reader = LookReader()
    assert [reader.look(render_in(look, [scene])[0]) for look in LOOKS] == list(LOOKS)
    clip = (render_in("blueprint", [scene])[0] * 255).round().to(torch.uint8)
    assert reader.look(clip) == "blueprint"


@pytest.mark.slow
def test_rendered_truth_passes_the_judges_and_other_clips_do_not():
    style, person = lessons.style_questions(20), lessons.character_questions(20)
    truth = render_in(lessons.LOOK, [q.scene for q in style])
    assert lessons.shares(lessons.judge_style(truth, style)) == {"look": 1.0, "motion": 1.0, "place": 1.0}
    assert (
        lessons.shares(lessons.judge_style(render_in("plain", [q.scene for q in style]), style))["look"] == 0
    )
    shown = lessons.shares(lessons.judge_character(render_in("plain", [q.scene for q in person]), person))
    assert all(shown[name] == 1.0 for name in ("clothes", "person", "place", "motion"))
    strangers = render_in("plain", [q.scene for q in style])
    assert lessons.shares(lessons.judge_character(strangers, person[: len(style)]))["clothes"] <= 0.1


def test_motion_is_read_also_where_outlines_have_gaps():
    """As generated clips have them: the lines left of the middle are painted over with paper."""
    asked = lessons.style_questions(4)
    clips = render_in(lessons.LOOK, [q.scene for q in asked])
    reader = BlueprintReader()
    for clip, question in zip(clips, asked, strict=True):
        broken = clip.clone()
        for frame, (x, _) in zip(broken, reader.read(clip).centres, strict=True):
            left = torch.arange(frame.shape[1]) < (x + 1) / 2 * frame.shape[1] - 6
            frame[:, left] = frame[:, left].where(
                frame[:, left, :1] <= 0.6, frame.new_tensor((0.1, 0.2, 0.5))
            )
        assert reader.read(broken).direction == question.scene.actors[0].motion
        assert reader.read(clip.flip(0)).direction != question.scene.actors[0].motion
        assert reader.read(clip[8:9].expand_as(clip)).direction is None
