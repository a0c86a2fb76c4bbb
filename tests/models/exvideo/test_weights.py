"""The published file's names, and loading it by folder and by file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel

from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.models.exvideo import (
    ExVideoUNet,
    load_extension,
    load_exvideo,
    read_extension,
    save_extension,
)
from vitascope.models.exvideo.convert import upstream_names

# DiffSynth-Studio at afd101f knows the published file by the md5 of its names and shapes.
PUBLISHED_MD5 = "9a4ab6869ac9b7d6e31f9854e397c867"


def tiny_svd(num_frames: int = 4) -> UNetSpatioTemporalConditionModel:
    return UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32, 32, 32),
        num_attention_heads=(1, 2, 4, 4),
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        cross_attention_dim=16,
        num_frames=num_frames,
    )


def randomised(unet: ExVideoUNet) -> ExVideoUNet:
    with torch.no_grad():
        for parameter in unet.extension_parameters().values():
            parameter.normal_(std=0.1)
    return unet


def test_full_size_names_and_shapes_are_the_published_file() -> None:
    with torch.device("meta"):
        unet = ExVideoUNet(num_frames=128)
    names = upstream_names(unet)
    strings = []
    for name, parameter in unet.extension_parameters().items():
        strings += [names[name], f"{names[name]}:{'_'.join(map(str, parameter.shape))}"]
    assert len(unet.extension_parameters()) == 528
    assert hashlib.md5(",".join(sorted(strings)).encode()).hexdigest() == PUBLISHED_MD5


@pytest.mark.parametrize("named_by", ["folder", "file"])
def test_an_extension_is_laid_over_svd(named_by: str, tmp_path: Path) -> None:
    base = tiny_svd()
    base.save_pretrained(tmp_path / "svd" / "unet")
    trained = randomised(ExVideoUNet.from_svd(tiny_svd(), 12))
    file = tmp_path / "model.fp16.safetensors"
    save_extension(trained, file)

    extension = file if named_by == "file" else tmp_path
    loaded = load_exvideo(str(tmp_path / "svd"), str(extension), dtype=torch.float32, variant=None)

    assert loaded.config.num_frames == 12
    extended = loaded.extension_parameters()
    for name, parameter in trained.extension_parameters().items():
        assert torch.equal(extended[name], parameter)
    for name, parameter in base.named_parameters():
        if name not in extended:
            assert torch.equal(loaded.get_parameter(name), parameter)


def test_an_incomplete_extension_is_refused() -> None:
    unet = ExVideoUNet.from_svd(tiny_svd(), 12)
    names = upstream_names(unet)
    tensors = {names[name]: parameter for name, parameter in unet.extension_parameters().items()}
    lacking = sorted(tensors)[0]
    del tensors[lacking]
    with pytest.raises(
        InvalidMedia, match=f"1 of 528 tensors are lacking, 0 are foreign, such as '{lacking}'"
    ):
        load_extension(unet, tensors)


def test_an_extension_of_another_length_is_refused(tmp_path: Path) -> None:
    save_extension(ExVideoUNet.from_svd(tiny_svd(), 12), tmp_path / "long.safetensors")
    with pytest.raises(InvalidMedia, match=r"\(12, 32\) in the file and \(8, 32\) in the UNet"):
        load_extension(ExVideoUNet.from_svd(tiny_svd(), 8), read_extension(tmp_path / "long.safetensors"))


def test_a_folder_without_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"no model\.fp16\.safetensors in"):
        read_extension(tmp_path)


def test_other_weights_are_no_extension(tmp_path: Path) -> None:
    base = tiny_svd()
    base.save_pretrained(tmp_path / "svd" / "unet")
    file = tmp_path / "svd" / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(InvalidMedia, match="no frame position table"):
        load_exvideo(str(tmp_path / "svd"), str(file), dtype=torch.float32, variant=None)
