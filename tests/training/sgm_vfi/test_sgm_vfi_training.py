import json
import subprocess
import sys

import cv2
import pytest
import torch
from safetensors.torch import load_file

from tests.flow.pictures import texture
from tests.models.sgm_vfi.tiny import TINY
from vitascope.errors import InvalidMedia, RunError
from vitascope.flow.warping import backward_warp
from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.convert import network_from
from vitascope.training.loop import Ranks
from vitascope.training.sgm_vfi.__main__ import main
from vitascope.training.sgm_vfi.filmed_motion import FilmedMotion
from vitascope.training.sgm_vfi.losses import laplacian_loss, negative_psnr
from vitascope.training.sgm_vfi.mixture import Mixture
from vitascope.training.sgm_vfi.synthetic_motion import SyntheticMotion, photos_in, texture_bank
from vitascope.training.sgm_vfi.training import Recipe, learning_rate, save, start, train, training_step

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)
TINIEST = SGMVFIConfig(**(TINY.model_dump() | {"depths": (1, 1, 1, 1), "matching_layers": 1}))
QUICK = Recipe(
    network=TINIEST,
    batch_size=2,
    size=32,
    largest_motion=8,
    warmup_steps=5,
    learning_rate=2e-3,
    num_fractals=8,
    ema_decay=0.9,
)


def quick(**knobs):
    return QUICK.model_copy(update=knobs)


@pytest.fixture(scope="module")
def textures():
    return texture_bank([], seed=1, device=CPU, num_fractals=8)


@pytest.fixture(scope="module")
def data(textures):
    return SyntheticMotion(textures, size=64, batch_size=4, largest_motion=24, drift=0)


def test_the_stated_motion_explains_the_frames(data):
    triplets = data.batch(7)
    first, middle, second = triplets.first, triplets.middle, triplets.second
    there, back = triplets.displacement.chunk(2)
    pairs = [
        (first, triplets.flow[:, :2], middle),
        (second, triplets.flow[:, 2:], middle),
        (second, there, first),
        (first, back, second),
    ]
    for source, flow, target in pairs:
        explained = (backward_warp(source, flow) - target).abs()[..., 16:-16, 16:-16].median()
        assert explained < 0.25 * (source - target).abs().median()


def test_the_light_changes_steadily(textures):
    steady, drifting = (
        SyntheticMotion(textures, size=64, batch_size=8, largest_motion=24, drift=drift).batch(1)
        for drift in (0, 0.1)
    )
    first, middle, second = (
        (ours / theirs.clamp(min=1e-3)).flatten(1).median(1).values - 1
        for ours, theirs in (
            (getattr(drifting, frame), getattr(steady, frame)) for frame in ("first", "middle", "second")
        )
    )
    assert middle.abs().max() < 1e-4
    assert first.abs().mean() > 0.02
    torch.testing.assert_close(first, -second, atol=0.02, rtol=0)


def test_a_seed_gives_its_batch_again_and_another_seed_another(data):
    assert torch.equal(data.batch(3).middle, data.batch(3).middle)
    assert not torch.equal(data.batch(3).middle, data.batch(4).middle)


def test_photographs_become_textures(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), texture(90, 130))
    bank = texture_bank(photos_in(tmp_path), seed=0, device=CPU, squares_a_photo=3, num_fractals=8)
    assert bank.shape == (11, 3, 512, 512)


def test_what_is_no_picture_is_told(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(InvalidMedia, match=r"broken\.jpg"):
        texture_bank(photos_in(tmp_path), seed=0, device=CPU)


def test_the_loss_sees_every_scale():
    truth = torch.rand(1, 3, 64, 64)
    assert laplacian_loss(truth, truth) == 0
    sharp = truth + 0.1 * (torch.arange(64) % 2 * 2 - 1)
    lighter = truth + 0.1
    assert laplacian_loss(sharp, truth) > 0.09
    assert laplacian_loss(lighter, truth) > 0.5


def test_psnr_counts_every_sample_alike():
    truth = torch.rand(2, 3, 16, 16)
    made = truth + torch.tensor((0.1, 0.01))[:, None, None, None]
    assert negative_psnr(made, truth) == pytest.approx(-(20 + 39.6) / 2, abs=0.1)


def test_the_learning_rate_warms_up_stays_and_falls_only_to_finish():
    recipe = quick(learning_rate=1.0, warmup_steps=10, decay_share=0.5)
    assert learning_rate(recipe, 4, 0.1) == pytest.approx(0.5)
    assert learning_rate(recipe, 50, 0.9) == 1
    assert learning_rate(recipe.model_copy(update={"finish": True}), 50, 0.9) == pytest.approx(0.2)


def test_the_loss_falls(tmp_path, textures):
    class OneBatch(SyntheticMotion):
        """Always the same triplets, so that a few steps are enough to see learning."""

        def batch(self, seed):
            return super().batch(0)

    trained = start(QUICK, tmp_path, CPU)
    data = OneBatch(textures, size=32, batch_size=2, largest_motion=8)
    told = [training_step(trained, data, 2e-3, 0.9, ALONE) for _ in range(15)]
    assert told[-1]["picture"] < 0.8 * told[0]["picture"]
    assert told[-1]["matching"] < 0.7 * told[0]["matching"]


def test_the_weights_are_written(tmp_path):
    train(quick(max_steps=1), [], tmp_path, ALONE, lambda _: None)
    network = network_from(load_file(tmp_path / "model.safetensors"), "model.safetensors")
    assert network.config == TINIEST
    assert next(network.parameters()).dtype == torch.float32


def test_the_log_tells_how_it_went(tmp_path):
    train(quick(max_steps=1), [], tmp_path, ALONE, lambda _: None)
    first, last = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert first["step"] == last["step"] == 1
    assert first["picture"] > 0
    assert last["held_out_psnr"] > 10


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tmp_path):
    train(quick(max_steps=2), [], tmp_path / "whole", ALONE, lambda _: None)
    for _ in range(2):
        train(quick(max_steps=1), [], tmp_path / "halves", ALONE, lambda _: None)
    whole, halves = (
        torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("whole", "halves")
    )
    assert whole["step"] == halves["step"] == 2
    for part in ("network", "average"):
        for key, tensor in whole[part].items():
            assert torch.equal(tensor, halves[part][key]), key


def test_a_broken_network_does_not_replace_a_whole_one(tmp_path):
    train(quick(max_steps=1), [], tmp_path, ALONE, lambda _: None)
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    trained = start(QUICK, tmp_path, CPU)
    next(trained.network.parameters()).data[0] = float("nan")
    with pytest.raises(RunError, match="not finite"):
        save(trained, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_the_clock_stops_it(tmp_path):
    trained = train(quick(minutes=0.02), [], tmp_path, ALONE, lambda _: None)
    assert trained.seconds < 15


def test_weights_alone_are_a_start_too(tmp_path):
    train(quick(max_steps=2), [], tmp_path, ALONE, lambda _: None)
    (tmp_path / "checkpoint.pt").unlink()
    again = train(quick(max_steps=1, learning_rate=1e-9), [], tmp_path, ALONE, lambda _: None)
    before = load_file(tmp_path / "model.safetensors")
    for key, tensor in again.network.state_dict().items():
        torch.testing.assert_close(tensor, before[key].float(), atol=2e-3, rtol=2e-3)


def test_a_checkpoint_of_another_size_is_refused(tmp_path):
    train(quick(max_steps=1), [], tmp_path, ALONE, lambda _: None)
    other = SGMVFIConfig(**(TINY.model_dump() | {"width": 8}))
    with pytest.raises(InvalidMedia, match="does not fit"):
        train(quick(max_steps=1, network=other), [], tmp_path, ALONE, lambda _: None)


def test_a_wider_network_starts_as_the_narrower_one_and_learns(tmp_path):
    train(quick(max_steps=2), [], tmp_path, ALONE, lambda _: None)
    (tmp_path / "checkpoint.pt").unlink()
    narrow = network_from(load_file(tmp_path / "model.safetensors"), "model.safetensors")
    wider = SGMVFIConfig(**(TINIEST.model_dump() | {"stage_channels": 24, "fusion_channels": 24}))
    assert wider.stage_channels > TINIEST.stage_channels and wider.fusion_channels > TINIEST.fusion_channels
    trained = start(quick(network=wider), tmp_path, CPU)
    first, second = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            trained.network(first, second), narrow(first, second), atol=1e-5, rtol=1e-4
        )
    new = trained.network.stages[0].tail[0].weight
    training_step(trained, SyntheticMotion(texture_bank([], 1, CPU, 0, 8), 32, 2, 8), 1e-3, 0.9, ALONE)
    assert new[:, TINIEST.stage_channels :].abs().max() > 0


@pytest.mark.parametrize("flags", [["--set", "colour=red"], ["--minutes", "0"], ["--photos", "nowhere"]])
def test_wrong_flags_end_with_code_2(tmp_path, flags):
    assert main(["--out", str(tmp_path), "--device", "cpu", *flags]) == 2


def test_filmed_triplets_are_learnt_from_without_knowing_their_motion(tmp_path, textures):
    filmed = FilmedMotion([texture_clip()], size=32, batch_size=1)
    data = Mixture(SyntheticMotion(textures, size=32, batch_size=2, largest_motion=8), filmed)
    triplets = data.batch(0)
    assert (len(triplets.first), len(triplets.flow), len(triplets.displacement)) == (3, 2, 4)
    told = training_step(start(QUICK, tmp_path, CPU), data, 1e-3, 0.9, ALONE)
    assert torch.isfinite(told["loss"])
    assert told["flow_px"] > 0


def texture_clip():
    picture = texture(40, 60)
    return torch.stack([torch.from_numpy(picture[:, i : i + 40].copy()).permute(2, 0, 1) for i in range(8)])


@pytest.mark.slow
def test_two_processes_learn_as_one_network(tmp_path):
    """Started by torchrun, on CPUs; the weights that come out are those of the first and of the second."""
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "one.png"), texture(90, 130))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "vitascope.training.sgm_vfi", "--device", "cpu", "--out", str(tmp_path / "out")]
    for knob in ("max_steps=3", "size=32", "batch_size=2", "num_fractals=8"):
        command += ["--set", knob]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stderr
    assert torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["step"] == 3
