"""The extended UNet as a diffusers model: what it adds, what it keeps, what it refuses."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import Tensor

from vitascope.models.exvideo import ExVideoUNet
from vitascope.models.exvideo.unet import mirrored_positions

TRAINED, EXTENDED = 4, 12


@pytest.fixture
def svd() -> UNetSpatioTemporalConditionModel:
    torch.manual_seed(0)
    return UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        num_attention_heads=(1, 2),
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        cross_attention_dim=16,
        layers_per_block=1,
        num_frames=TRAINED,
    )


@pytest.fixture
def extended(svd: UNetSpatioTemporalConditionModel) -> ExVideoUNet:
    return ExVideoUNet.from_svd(svd, EXTENDED)


def inputs(num_frames: int, batch: int = 2) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(1)
    shapes = (batch, num_frames, 8, 8, 8), (), (batch, 1, 16), (batch, 3)
    sample, timestep, image, time_ids = (torch.randn(shape, generator=draw) for shape in shapes)
    return sample, timestep, image, time_ids


def run(unet: UNetSpatioTemporalConditionModel, num_frames: int) -> Tensor:
    with torch.no_grad():
        return unet(*inputs(num_frames)).sample


def perturb(unet: ExVideoUNet) -> None:
    with torch.no_grad():
        for parameter in unet.added_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))


def test_an_untrained_extension_changes_nothing_within_the_trained_length(svd, extended) -> None:
    assert torch.equal(run(extended, TRAINED), run(svd, TRAINED))


def test_an_untrained_extension_repeats_positions_beyond_it(svd, extended) -> None:
    assert not torch.allclose(run(extended, EXTENDED), run(svd, EXTENDED))


@pytest.mark.parametrize("part", [".positional_conv.", ".time_proj."])
def test_each_added_layer_acts(extended, part: str) -> None:
    before = run(extended, TRAINED)
    with torch.no_grad():
        for name, parameter in extended.added_parameters().items():
            if part in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    assert not torch.allclose(run(extended, TRAINED), before, atol=1e-3)


def test_clips_of_a_batch_do_not_mix(extended) -> None:
    perturb(extended)
    both = run(extended, TRAINED)
    with torch.no_grad():
        alone = [
            extended(*(x if x.ndim == 0 else x[row : row + 1] for x in inputs(TRAINED))).sample
            for row in (0, 1)
        ]
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-5, rtol=0)


def test_base_weights_are_shared_with_svd(svd, extended) -> None:
    assert extended.conv_in.weight.data_ptr() == svd.conv_in.weight.data_ptr()
    assert not any(parameter.is_meta for parameter in extended.parameters())


def test_half_precision_base_gives_half_precision_extension(svd) -> None:
    extended = ExVideoUNet.from_svd(svd.to(torch.float16), EXTENDED)
    assert {parameter.dtype for parameter in extended.parameters()} == {torch.float16}


def test_saves_and_loads_as_any_diffusers_model(extended, tmp_path: Path) -> None:
    perturb(extended)
    extended.save_pretrained(tmp_path)
    again, report = ExVideoUNet.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert again.config.num_frames == EXTENDED
    assert torch.equal(run(again, EXTENDED), run(extended, EXTENDED))


def test_refuses_a_clip_beyond_its_positions(extended) -> None:
    with pytest.raises(ValueError, match="at most 12 frames, not 13"):
        run(extended, EXTENDED + 1)


def test_refuses_to_shorten_svd(svd) -> None:
    with pytest.raises(ValueError, match="3 frames asked, 4 trained"):
        ExVideoUNet.from_svd(svd, 3)


def test_training_the_extension_alone_leaves_svd_as_it_is(extended) -> None:
    extended.requires_grad_(False)
    trained = extended.extension_parameters()
    for parameter in trained.values():
        parameter.requires_grad_(True)
    extended.enable_gradient_checkpointing()
    extended.train()
    extended(*inputs(EXTENDED)).sample.square().mean().backward()
    touched = {name for name, parameter in extended.named_parameters() if parameter.grad is not None}
    assert touched == set(trained)
    assert all(
        trained[name].grad.abs().sum() > 0 for name in extended.added_parameters() if ".time_proj." in name
    )


def test_positions_walk_back_and_forth_among_the_trained_ones() -> None:
    positions = mirrored_positions(128).tolist()
    assert positions[:25] == list(range(25))
    assert positions[25:67] == [*range(23, 3, -1), *range(5, 25), 23, 22]
    assert max(positions) == 24
    assert all(abs(a - b) == 1 for a, b in itertools.pairwise(positions))


@pytest.mark.parametrize("trained", [2, 3, 4, 8, 14])
def test_positions_of_other_base_lengths_stay_neighbours(trained: int) -> None:
    positions = mirrored_positions(5 * trained, trained).tolist()
    assert set(positions) == set(range(trained))
    assert all(abs(a - b) == 1 for a, b in itertools.pairwise(positions))
