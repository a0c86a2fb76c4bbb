import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.flow.pictures import panning, psnr, texture
from tests.models.sgm_vfi.tiny import TINY
from vitascope.cli.making import parse_knobs
from vitascope.clip import Audio, Clip
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.errors import DependencyMissing, InvalidMedia, NotFound, RequestError
from vitascope.media import probe
from vitascope.models.sgm_vfi.network import SGMVFI
from vitascope.steps import STEPS
from vitascope.steps.base import Extent

Interpolate = STEPS["interpolate"]
CPU = Placement(device="cpu", dtype="float32")


def applied(step, clip, context=None):
    return step.apply(clip, {}, step.load(CPU), context or Context())


@pytest.mark.parametrize("factor", [2, 4])
def test_more_frames_at_a_higher_rate(factor):
    frames = panning(9, step=2)
    clip = Clip(np.stack(frames[::factor]), 8, audio=Audio(np.zeros((1, 100), np.float32), 100))
    made = applied(Interpolate(factor=factor), clip)
    assert made.num_frames == 9
    assert made.fps == 8 * factor
    assert made.audio is clip.audio
    for number, truth in enumerate(frames):
        frame = made.array()[number]
        if number % factor == 0:
            assert (frame == truth).all()
        else:
            assert psnr(frame[:, 8:-8], truth[:, 8:-8]) > 30


def test_a_target_rate():
    clip = Clip(np.stack(panning(6, step=1)), 24)
    made = applied(Interpolate(fps="60"), clip)
    assert made.fps == 60
    assert made.num_frames == 13
    made = applied(Interpolate(fps=Fraction(30000, 1001)), clip)
    assert made.num_frames == 7


def test_a_rate_with_a_point_is_written_to_a_file(tmp_path):
    knobs = parse_knobs(["method=dis", "fps=29.97"])
    made = applied(Interpolate(**knobs), Clip(np.stack(panning(5, step=2)), 10))
    assert float(probe(made.save(tmp_path / "ntsc.mp4")).fps) == 29.97


@pytest.mark.parametrize("knobs", [{}, {"factor": 5}, {"fps": "29.97"}])
def test_how_large_the_result_is_is_known_before(knobs):
    clip = Clip(np.stack(panning(5, step=2)), 10)
    step = Interpolate(method="dis", **knobs)
    made, told = applied(step, clip), step.extent(Extent(5, clip.fps, clip.width, clip.height))
    assert (told.fps, told.width, told.height) == (made.fps, made.width, made.height)
    assert (
        made.num_frames
        <= told.num_frames
        <= made.num_frames + step.extent(Extent(1, clip.fps, 1, 1)).num_frames
    )


def test_twice_unless_told_otherwise():
    assert applied(Interpolate(), Clip(np.stack(panning(3, step=1)), 8)).fps == 16


def test_the_recipe_says_what_was_done():
    made = applied(Interpolate(factor=4), Clip(np.stack(panning(2, step=1)), 8))
    stage = made.recipe.stages[-1]
    assert stage.name == "interpolate"
    assert stage.knobs["factor"] == 4
    assert stage.notes == {"num_frames": 5, "fps": "32"}


def test_cuts_stay_cuts():
    before, after = panning(2, step=2, seed=1), [frame // 3 for frame in panning(2, step=2, seed=2)]
    made = applied(Interpolate(factor=4), Clip(np.stack(before + after), 8)).array()
    for frame in made[4:9]:
        assert (frame == before[1]).all() or (frame == after[0]).all()


def test_one_frame_is_refused():
    with pytest.raises(InvalidMedia, match="only 1 frame"):
        applied(Interpolate(), Clip(texture(32, 32)[None], 8))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"factor": 2, "fps": 30}, "not both"),
        ({"factor": 1}, "greater than or equal to 2"),
        ({"fps": 0}, "greater than 0"),
        ({"method": "nearest"}, "'dis', 'rife' or 'sgm-vfi'"),
        ({"method": "dis", "weights": "x.pkl"}, "belong to method 'sgm-vfi'"),
    ],
)
def test_bad_knobs_are_told(knobs, words):
    with pytest.raises(RequestError, match=words):
        Interpolate.with_knobs(**knobs)


def test_without_the_embedded_weights_another_method_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vitascope_embedded", None)
    with pytest.raises(DependencyMissing, match="'dis' needs no weights"):
        Interpolate().load(CPU)


def test_weights_that_are_not_there_are_told():
    with pytest.raises(NotFound, match=r"nowhere\.pkl"):
        Interpolate(method="sgm-vfi", weights="nowhere.pkl").load(CPU)


@pytest.mark.parametrize("name", ["ours.safetensors", "upstream.pkl"])
def test_sgm_vfi_loads_a_file_and_works(tmp_path, name):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = SGMVFI(TINY).state_dict()
    path = tmp_path / name
    if path.suffix == ".pkl":
        tensors = {f"module.{key}": value for key, value in state.items()}
        torch.save({"epoch": 3, "model": tensors, "optimizer": {"state": {}, "param_groups": []}}, path)
    else:
        save_file(state, path)
    step = Interpolate(factor=4, method="sgm-vfi", weights=str(path))
    made = applied(step, Clip(np.stack(panning(3, step=2, height=40, width=50)), 8))
    assert made.frames.shape == (9, 40, 50, 3)


def test_progress_and_cancelling():
    seen = []
    context = Context(on_progress=lambda progress: seen.append((progress.step, progress.total)))
    applied(Interpolate(), Clip(np.stack(panning(4, step=1)), 8), context)
    assert seen == [(i, 7) for i in range(1, 8)]


def test_equal_modules_are_shared_whatever_the_rate():
    assert Interpolate(factor=2).modules_key() == Interpolate(fps=60, hold_cuts=False).modules_key()
    assert Interpolate().modules_key() != Interpolate(method="rife").modules_key()


MEMORY_OF_A_LONG_CLIP = """
import resource, sys
import numpy as np
from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.media import probe
from vitascope.steps import STEPS
from vitascope.steps.base import Extent

class Pan:
    shape = (int(sys.argv[1]), 32, 256, 3)
    picture = np.random.default_rng(0).integers(0, 255, (32, 512, 3), np.uint8)
    def __getitem__(self, index):
        return np.stack([self.picture[:, i % 256 : i % 256 + 256] for i in range(index.start, index.stop)])

class Still:
    def between(self, first, second, times):
        return [first for _ in times]

import vitascope.flow.spooled_frames as spooled
spooled.spool.__defaults__ = (2**20,)
made = STEPS["interpolate"]().apply(Clip(Pan(), 8), {}, Still(), Context())
assert made.num_frames == 2 * int(sys.argv[1]) - 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_long_clip_needs_no_more_memory_than_a_short_one():
    def peak_mib(num_frames):
        command = [sys.executable, "-c", MEMORY_OF_A_LONG_CLIP, str(num_frames)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert peak_mib(1500) - peak_mib(100) < 12  # the frames alone would be 70 MiB more
