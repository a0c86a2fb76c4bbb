"""AnimateDiff: adapters, FreeNoise, ControlNet, SparseCtrl."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.generators import tiny_animatediff
from tests.generators.family import Family, built
from vitascope.context import Context
from vitascope.errors import InvalidMedia, NoNetwork, UnknownName, UnsupportedTask
from vitascope.generators import for_model
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo

OWN = Family("animatediff", tiny_animatediff.save_animatediff, TextToVideo, (64, 64), 4)
IMAGE_MODEL = Family("animatediff", tiny_animatediff.save_stable_diffusion, TextToVideo, (64, 64), 4)
SPARSE = Family("animatediff-sparsectrl", tiny_animatediff.save_animatediff, ImageToVideo, (64, 64), 4)
CONTROL = Family("animatediff-controlnet", tiny_animatediff.save_animatediff, VideoToVideo, (64, 64), 4)


def adapter() -> str:
    return str(built(tiny_animatediff.save_motion_adapter))


def test_an_image_model_is_set_in_motion_by_an_adapter() -> None:
    (clip,) = IMAGE_MODEL.make(motion_adapter=adapter())
    frames = clip.array()
    assert frames.shape == (4, 64, 64, 3)
    (other,) = OWN.make()
    assert not np.array_equal(other.array(), frames)
    assert for_model(str(built(tiny_animatediff.save_stable_diffusion))).name == "animatediff"


def test_an_image_model_without_an_adapter_asks_for_the_published_one() -> None:
    with pytest.raises(NoNetwork, match="guoyww/animatediff-motion-adapter-v1-5-3"):
        IMAGE_MODEL.make()


def test_an_adapter_takes_the_place_of_the_folders_own() -> None:
    (clip,) = OWN.make(motion_adapter=adapter())
    assert not np.array_equal(clip.array(), OWN.frames())


def test_a_part_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidMedia, match="holds a ControlNetModel, not a MotionAdapter"):
        OWN.make(motion_adapter=str(built(tiny_animatediff.save_controlnet)))


def test_clips_beyond_the_adapters_positions_need_free_noise() -> None:
    longest = tiny_animatediff.MAX_FRAMES
    task = OWN.task(num_frames=longest + 2)
    with pytest.raises(UnsupportedTask, match=f"num_frames={longest + 2}: .*nearest: {longest}"):
        OWN.generator().complete(task)
    before = OWN.frames()
    (clip,) = OWN.make(task, free_noise=True, context_length=8)
    assert clip.num_frames == longest + 2
    assert all(frame.std() > 1 for frame in clip.array())
    assert np.array_equal(OWN.frames(), before), "FreeNoise stayed on"


def test_the_scheduler_is_chosen_by_name() -> None:
    (clip,) = OWN.make(scheduler="euler")
    assert clip.recipe.stages[-1].notes["scheduler"] == "EulerDiscreteScheduler"
    assert not np.array_equal(clip.array(), OWN.frames())
    with pytest.raises(UnknownName, match="did you mean 'euler'"):
        OWN.generator(scheduler="eular").complete(OWN.task())


def test_an_image_model_gets_the_noise_schedule_of_the_motion_modules() -> None:
    (clip,) = IMAGE_MODEL.make(motion_adapter=adapter())
    assert clip.recipe.stages[-1].knobs["scheduler"] == "ddim"


def test_words_beyond_77_tokens_are_named() -> None:
    context = Context()
    OWN.make(OWN.task(prompt="a red ball " * 10), context=context)
    assert any("tokens and" in warning and "reads 77" in warning for warning in context.warnings)


def sparse() -> str:
    return str(built(tiny_animatediff.save_sparse_controlnet))


def test_sparsectrl_follows_a_picture_at_one_frame() -> None:
    (clip,) = SPARSE.make(controlnet=sparse())
    assert clip.array().shape == (4, 64, 64, 3)
    for changed in (
        SPARSE.make(SPARSE.task(scene=1), controlnet=sparse()),
        SPARSE.make(controlnet=sparse(), frame_index=3),
        SPARSE.make(controlnet=sparse(), controlnet_conditioning_scale=0.2),
    ):
        assert not np.array_equal(changed[0].array(), clip.array())


def test_sparsectrl_refuses_a_frame_beyond_the_clip() -> None:
    with pytest.raises(UnsupportedTask, match="frame_index=4 of a clip of 4 frames; nearest: 3"):
        SPARSE.generator(controlnet=sparse(), frame_index=4).complete(SPARSE.task())


def test_a_controlnet_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built(tiny_animatediff.save_controlnet), tmp_path / "control"))
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    gone = sorted(tensors)[0]
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, file, {"format": "pt"})
    with pytest.raises(InvalidMedia, match=rf"control' lacks 1 of the .*'{gone}'"):
        CONTROL.make(controlnet=str(folder))


def test_controlnet_follows_a_clip() -> None:
    control = str(built(tiny_animatediff.save_controlnet))
    (clip,) = CONTROL.make(controlnet=control)
    assert clip.array().shape == (4, 64, 64, 3)
    (other,) = CONTROL.make(CONTROL.task(scene=1), controlnet=control)
    assert not np.array_equal(other.array(), clip.array())
    (weaker,) = CONTROL.make(controlnet=control, controlnet_conditioning_scale=0.1)
    assert not np.array_equal(weaker.array(), clip.array())


def test_controlnet_draws_its_own_map_of_footage() -> None:
    control = str(built(tiny_animatediff.save_controlnet))
    clips = [
        CONTROL.make(controlnet=control, control=kind)[0].array() for kind in ("given", "canny", "soft-edge")
    ]
    assert not np.array_equal(clips[0], clips[1]) and not np.array_equal(clips[1], clips[2])


def test_controlnet_says_that_strength_is_not_read(tmp_path: Path) -> None:
    context = Context()
    CONTROL.make(context=context, controlnet=str(built(tiny_animatediff.save_controlnet)))
    assert any("does not read strength" in warning for warning in context.warnings)


def test_two_controlled_clips_are_made_one_after_the_other() -> None:
    tasks = SPARSE.task(), SPARSE.task(seed=1, scene=1)
    clips = SPARSE.make(*tasks, controlnet=sparse())
    (alone,) = SPARSE.make(tasks[1], controlnet=sparse())
    assert np.array_equal(clips[1].array(), alone.array())
