"""Published ExVideo files: the temporal blocks alone, to be laid over SVD's own weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vitascope.atomic import replacing
from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.models.exvideo.convert import from_upstream, upstream_names
from vitascope.models.exvideo.unet import ExVideoUNet

SVD = "stabilityai/stable-video-diffusion-img2vid-xt"
EXTENSION = "ECNU-CILab/ExVideo-SVD-128f-v1"
EXTENSION_FILE = "model.fp16.safetensors"
TABLE = "positional_embedding.embeddings"


def load_exvideo(
    svd: str = SVD,
    extension: str = EXTENSION,
    dtype: torch.dtype = torch.float16,
    variant: str | None = "fp16",
) -> ExVideoUNet:
    """Load SVD's UNet and lay an ExVideo extension over it.

    `svd` is a hub id or a local folder in diffusers layout; `extension` a hub id, a folder or a file. The
    published extension was trained on SVD-XT 1.0, not on 1.1.
    """
    base = UNetSpatioTemporalConditionModel.from_pretrained(
        svd, subfolder="unet", dtype=dtype, variant=variant
    )
    tensors = read_extension(extension)
    tables = [tensor for name, tensor in tensors.items() if name.endswith(TABLE)]
    if not tables:
        raise InvalidMedia(f"{extension!r} holds no frame position table: is it an ExVideo extension?")
    unet = ExVideoUNet.from_svd(base, num_frames=len(tables[0]))
    load_extension(unet, tensors)
    return unet


def read_extension(extension: str | os.PathLike[str] = EXTENSION) -> dict[str, Tensor]:
    """Read an extension by hub id, folder or file, with upstream's names.

    Raises: WeightsMissing when a local path holds no such file.
    """
    if Path(extension).exists():
        with _readable(extension):
            return load_file(_extension_file(Path(extension)))
    from huggingface_hub import hf_hub_download

    return load_file(hf_hub_download(str(extension), EXTENSION_FILE))


def load_extension(unet: ExVideoUNet, tensors: dict[str, Tensor]) -> None:
    """Lay an extension, named as upstream names it, over a UNet; all of it must fit.

    Raises: InvalidMedia when the tensors are not exactly this UNet's extension.
    """
    names = upstream_names(unet)
    wanted = {names[name]: parameter.shape for name, parameter in unet.extension_parameters().items()}
    lacking = sorted(wanted.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - wanted.keys())
    if lacking or foreign:
        raise InvalidMedia(
            f"not an ExVideo extension of this UNet: {len(lacking)} of {len(wanted)} tensors are lacking, "
            f"{len(foreign)} are foreign, such as {(lacking + foreign)[0]!r}"
        )
    for name, shape in wanted.items():
        if tensors[name].shape != shape:
            raise InvalidMedia(
                f"{name!r} is {tuple(tensors[name].shape)} in the file and {tuple(shape)} in the UNet: "
                "extend the UNet to the file's number of frames"
            )
    unet.load_state_dict(from_upstream(tensors, unet), strict=False)


def save_extension(unet: ExVideoUNet, path: str | os.PathLike[str]) -> None:
    """Write the extension of a UNet in the published format, so that upstream's code reads it too."""
    names = upstream_names(unet)
    tensors = {
        names[name]: parameter.detach().cpu().contiguous()
        for name, parameter in unet.extension_parameters().items()
    }
    with replacing(Path(path)) as unfinished:
        save_file(tensors, unfinished)


def extension_length(extension: str | os.PathLike[str]) -> int:
    """How many frames a local extension (folder or file) reaches; reads the file's header alone.

    Raises: WeightsMissing for a folder without the file, InvalidMedia for weights that are no extension.
    """
    with _readable(extension), safe_open(_extension_file(Path(extension)), framework="pt") as file:
        tables = [name for name in file.keys() if name.endswith(TABLE)]  # noqa: SIM118 (no mapping)
        if not tables:
            raise InvalidMedia(
                f"{str(extension)!r} holds no frame position table: is it an ExVideo extension?"
            )
        return int(file.get_slice(tables[0]).get_shape()[0])


@contextmanager
def _readable(extension: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise InvalidMedia(
            f"{str(extension)!r} is no safetensors file, or a truncated one: {error}"
        ) from error


def _extension_file(path: Path) -> Path:
    file = path / EXTENSION_FILE if path.is_dir() else path
    if not file.is_file():
        raise WeightsMissing(
            f"no {EXTENSION_FILE} in {str(path)!r}: give the folder or file of an ExVideo extension"
        )
    return file
