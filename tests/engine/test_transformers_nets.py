"""Networks of transformers that lack a tensor are refused, wherever a pipeline has them."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.generators import tiny_svd
from tests.generators.family import built
from vitascope.engine import pipelines
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia
from vitascope.generators import for_model

PLACEMENT = Placement(device="cpu", dtype="float32")


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(built(tiny_svd.save_svd), tmp_path / "svd")


def test_an_image_encoder_that_lacks_a_tensor_is_refused(folder):
    path = folder / "image_encoder" / "model.safetensors"
    tensors = load_file(path)
    gone = sorted(tensors)[-1]
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, path, {"format": "pt"})
    with pytest.raises(InvalidMedia, match=rf"image_encoder' lacks 1 of the tensors .*'{gone}'"):
        for_model(str(folder)).load(PLACEMENT)


def test_an_image_encoder_of_another_width_is_refused(folder):
    path = folder / "image_encoder" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    save_file({**tensors, name: tensors[name][:, :-1].contiguous()}, path, {"format": "pt"})
    with pytest.raises(InvalidMedia, match=rf"image_encoder' holds '{name}' of shape"):
        for_model(str(folder)).load(PLACEMENT)


def test_a_part_that_is_not_wanted_is_not_read(folder):
    (folder / "image_encoder" / "model.safetensors").write_bytes(b"noise")
    where = for_model(str(folder)).pipeline_for["image-to-video"]
    pipeline = pipelines.read(where, folder, PLACEMENT, image_encoder=None)
    assert pipeline.image_encoder is None
    assert pipeline.unet.dtype.is_floating_point


def test_weights_that_are_there_in_half_precision_alone_are_read(folder):
    for file in ("unet/diffusion_pytorch_model.safetensors", "image_encoder/model.safetensors"):
        path = folder / file
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    pipeline = for_model(str(folder)).load(PLACEMENT).pipeline
    assert pipeline.unet.dtype == pipeline.vae.dtype == torch.float32


def test_a_class_that_transformers_has_not_is_named(folder):
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "image_encoder": ["transformers", "EyeOfTomorrow"]}))
    with pytest.raises(InvalidMedia, match="names 'EyeOfTomorrow', which transformers"):
        for_model(str(folder)).load(PLACEMENT)
