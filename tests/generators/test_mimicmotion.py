"""MimicMotion's own knobs, its poses, and its weights."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.generators import tiny_mimicmotion, tiny_svd
from tests.generators.family import ENGINE, built, picture, plain_frames, walk
from tests.generators.tiny_mimicmotion import FAMILIES, NAME
from vitascope.context import Context
from vitascope.errors import InvalidMedia, RequestError, UnsupportedTask, WeightsMissing
from vitascope.generators import for_model
from vitascope.poses import PoseSequence
from vitascope.task import MotionToVideo
from vitascope.workflows.generate import order

(MIMIC,) = FAMILIES


@pytest.mark.parametrize(
    "knobs",
    [
        {"motion_bucket_id": 20},
        {"noise_aug_strength": 0.5},
        {"conditioning_fps": 30},
        {"decode_chunk_size": 2},
        {"min_guidance_scale": 8.0},
        {"guidance_scale": 1.0},
        {"tile_size": 3, "tile_overlap": 1},
    ],
    ids=lambda knobs: next(iter(knobs)),
)
def test_each_knob_changes_the_clip(knobs: dict[str, Any]) -> None:
    (clip,) = MIMIC.make(**knobs)
    assert not np.array_equal(clip.array(), plain_frames(MIMIC))


def test_tiles_cover_a_clip_that_is_longer_than_one() -> None:
    """The UNet is asked twice a tile and step; without guidance once."""
    task = MIMIC.task(num_frames=9, poses=walk(9))
    tiled = {"tile_size": 4, "tile_overlap": 2}
    (clip,) = MIMIC.make(task, **tiled)
    assert clip.num_frames == 9
    assert clip.recipe.stages[-1].notes["num_denoiser_calls"] == 2 * 4 * 2
    (clip,) = MIMIC.make(task, **tiled, guidance_scale=1.0)
    assert clip.recipe.stages[-1].notes["num_denoiser_calls"] == 2 * 4
    assert all(frame.std() > 1 for frame in clip.array())


def test_a_tile_longer_than_the_clip_is_as_long_as_the_clip() -> None:
    (clip,) = MIMIC.make(tile_size=5, tile_overlap=4)
    assert np.array_equal(clip.array(), plain_frames(MIMIC))


def test_an_overlap_that_leaves_nothing_new_is_refused() -> None:
    with pytest.raises(UnsupportedTask, match=r"tile_overlap=6 of tiles of 6 .* at most 5"):
        MIMIC.generator(tile_size=6).complete(MIMIC.task())


def test_the_poses_decide_the_clip() -> None:
    assert not np.array_equal(MIMIC.frames(poses=walk(4, sway=0.2)), plain_frames(MIMIC))


def test_a_single_pose_makes_a_single_frame() -> None:
    (clip,) = MIMIC.make(MIMIC.task(poses=walk(1), num_frames=None))
    assert clip.num_frames == 1


def test_every_layout_drives() -> None:
    person = [(0.5, 0.1 + 0.006 * joint, 0.9) for joint in range(133)]
    for layout, joints in (("coco-17", 17), ("coco-wholebody-133", 133)):
        poses = PoseSequence(layout=layout, fps=15, frames=((person[:joints],),) * 2)
        assert MIMIC.frames(poses=poses, num_frames=2).shape[0] == 2


def test_poses_are_moved_to_where_the_person_stands() -> None:
    """The same walk seen from afar is the same clip, once both are fitted to the picture's person."""
    near = walk(4)
    far = near.model_copy(
        update={
            "frames": tuple(
                tuple(tuple((0.3 + x / 2, 0.4 + y / 2, s) for x, y, s in person) for person in frame)
                for frame in near.frames
            )
        }
    )
    standing = near.model_copy(update={"frames": near.frames[:1]})
    context = Context()
    moved, unmoved = (MIMIC.frames(poses=poses, image_pose=standing) for poses in (far, near))
    assert np.abs(moved.astype(int) - unmoved).mean() < 1
    MIMIC.make(MIMIC.task(poses=far), context=context)
    assert any("no pose of the picture was given" in warning for warning in context.warnings)


def test_two_people_cannot_be_compared_and_the_user_is_told() -> None:
    context, poses = Context(), walk(2)
    crowd = poses.model_copy(update={"frames": tuple((*frame, *frame) for frame in poses.frames)})
    MIMIC.make(MIMIC.task(poses=crowd, image_pose=walk(1), num_frames=2), context=context)
    assert any("no frame shows one person" in warning for warning in context.warnings)


@pytest.mark.parametrize(
    ("rate", "fps", "num_frames", "expected"),
    [(30, None, None, (15, 15)), (60, None, None, (8, 15)), (8, None, None, (30, 8)), (25, 25, 10, (10, 25))],
)
def test_length_and_rate_come_from_the_poses(
    rate: int, fps: int | None, num_frames: int | None, expected: tuple[int, int]
) -> None:
    task = MotionToVideo.of(
        image=picture(0, 64, 96), poses=walk(30, fps=rate), fps=fps, num_frames=num_frames
    )
    completed = MIMIC.generator().complete(task)
    assert (completed.num_frames, completed.fps) == (expected[0], Fraction(expected[1]))
    assert (completed.width, completed.height) == (576, 1024)


def test_a_landscape_picture_makes_a_landscape_clip() -> None:
    completed = MIMIC.generator().complete(MotionToVideo.of(image=picture(0, 96, 64), poses=walk(4)))
    assert (completed.width, completed.height) == (1024, 576)


def test_more_frames_than_poses_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnsupportedTask, match=r"num_frames=9: 4 poses at 15 fps .*nearest: 4"):
        MIMIC.generator().complete(MIMIC.task(num_frames=9))


@pytest.mark.parametrize("name", ["poses", "image_pose"])
@pytest.mark.parametrize("frames", [((),), walk(1, score=0.2).frames], ids=["nobody", "unsure"])
def test_poses_without_a_person_are_refused(name: str, frames: Any) -> None:
    nobody = walk(1).model_copy(update={"frames": frames})
    with pytest.raises(InvalidMedia, match=f"{name} show nobody"):
        MIMIC.generator().complete(MIMIC.task(**{"num_frames": 1, name: nobody}))


def test_a_frame_without_a_person_is_drawn_black() -> None:
    poses = walk(4)
    gone = poses.model_copy(update={"frames": (*poses.frames[:2], (), poses.frames[3])})
    assert MIMIC.frames(poses=gone).shape[0] == 4


def test_poses_need_a_picture() -> None:
    with pytest.raises(RequestError, match="give the picture too"):
        order("", model="mimicmotion", poses=walk(2))


def test_the_recipe_tells_the_poses_by_their_hash_alone() -> None:
    said = MIMIC.task().described()["poses"]
    assert set(said) == {"layout", "num_frames", "fps", "sha256"}


# --- weights


def saved(tensors: dict[str, Any], folder: Path, name: str = NAME) -> str:
    torch.save(tensors, folder / name)
    return str(folder / name)


def refused(model: str, **knobs: Any) -> str:
    with pytest.raises((InvalidMedia, WeightsMissing)) as caught:
        MIMIC.make(model=model, **knobs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_file_alone_finds_its_family(tmp_path: Path) -> None:
    file = saved(tiny_mimicmotion.tensors(), tmp_path, "renamed.pth")
    assert for_model(file).name == "mimicmotion"
    (clip,) = MIMIC.make(model=file)
    assert np.array_equal(clip.array(), plain_frames(MIMIC))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    tensors = tiny_mimicmotion.tensors()
    without = {key: tensor for key, tensor in tensors.items() if not key.startswith("pose_net.")}
    assert "no tensor's name begins with 'pose_net.'" in refused(saved(without, tmp_path))
    lacking = dict(tensors)
    lacking.pop("unet.conv_in.weight")
    assert "1 of " in refused(saved(lacking, tmp_path))


def test_code_in_a_weights_file_is_never_run(tmp_path: Path) -> None:
    evil = {**tiny_mimicmotion.tensors(), "hook": Path}
    assert "running code of its own" in refused(saved(evil, tmp_path))


def test_a_folder_without_the_file_and_a_base_of_another_family_are_refused(tmp_path: Path) -> None:
    assert "holds no MimicMotion_1-1.pth" in refused(str(tmp_path))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model_index.json").write_text('{"_class_name": "MochiPipeline"}')
    assert "holds a MochiPipeline" in refused(str(built(MIMIC.build)), base=str(tmp_path / "other"))


def test_parts_in_the_file_take_the_place_of_the_base(tmp_path: Path) -> None:
    vae = ENGINE.modules(MIMIC.generator()).pipeline.vae
    louder = {f"vae.{key}": 1.2 * tensor for key, tensor in vae.state_dict().items()}
    (clip,) = MIMIC.make(
        model=saved({**tiny_mimicmotion.tensors(), **louder, "odd": torch.ones(1)}, tmp_path)
    )
    assert not np.array_equal(clip.array(), plain_frames(MIMIC))
    assert (
        "1 tensors are of no known part"
        in ENGINE.modules(MIMIC.generator(model=str(tmp_path / NAME))).warnings[-1]
    )


def test_the_svd_that_lends_its_parts_needs_no_unet(tmp_path: Path) -> None:
    base = tiny_svd.save_svd(tmp_path / "svd")
    for file in (base / "unet").glob("*.safetensors"):
        file.unlink()
    (clip,) = MIMIC.make(base=str(base))
    assert np.array_equal(clip.array(), plain_frames(MIMIC))


def test_published_models_say_what_they_fetch() -> None:
    for name, file, size in (("mimicmotion-1.1", NAME, 72), ("mimicmotion-1", "MimicMotion_1.pth", 16)):
        generator = for_model(name)
        mine, base = generator.parts()
        assert (mine.repo, mine.patterns) == ("tencent/MimicMotion", (file,))
        assert base.repo.endswith("img2vid-xt-1-1")
        assert generator.filled_in(generator.profile()).tile_size == size
