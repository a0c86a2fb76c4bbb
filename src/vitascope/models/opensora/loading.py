"""Builds Open-Sora 1.2 from the files that its authors published, or from files of the same form.

Source: names of repositories and files as in github.com/hpcaitech/Open-Sora v1.2.0,
configs/opensora-v1-2/inference/sample.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vitascope.errors import InvalidMedia, NoNetwork, WeightsMissing
from vitascope.models.checkpoints import load_exactly, read_config, read_tensors, resolve
from vitascope.models.families import OPENSORA_VAE, STDIT3, family_of
from vitascope.models.opensora.autoencoder import AutoencoderKLOpenSora
from vitascope.models.opensora.convert import (
    convert_stdit3,
    convert_vae,
    stdit3_config,
    vae_config,
    vae_sizes,
)
from vitascope.models.opensora.pipeline import OpenSoraPipeline
from vitascope.models.opensora.scheduler import OpenSoraScheduler
from vitascope.models.opensora.stdit3 import STDiT3

TRANSFORMER = "hpcai-tech/OpenSora-STDiT-v3"
VAE = "hpcai-tech/OpenSora-VAE-v1.2"
TEXT_ENCODER = "DeepFloyd/t5-v1_1-xxl"

Source = str | os.PathLike[str]
NetT = TypeVar("NetT", bound=nn.Module)


def load_pipeline(
    transformer: Source = TRANSFORMER,
    vae: Source = VAE,
    text_encoder: Source = TEXT_ENCODER,
    dtype: torch.dtype = torch.bfloat16,
) -> OpenSoraPipeline:
    """The whole of Open-Sora 1.2; each part a hub id, a local folder or a file.

    Raises: WeightsMissing, NoNetwork, InvalidMedia.
    """
    denoiser, autoencoder = load_stdit3(transformer, dtype), load_vae(vae, dtype)
    tokenizer, encoder = load_text_encoder(text_encoder, dtype)
    return OpenSoraPipeline(tokenizer, encoder, autoencoder, denoiser, OpenSoraScheduler())


def load_text_encoder(source: Source = TEXT_ENCODER, dtype: torch.dtype = torch.bfloat16) -> tuple[Any, Any]:
    """Tokenizer and encoder half of T5, as transformers reads them. Raises: WeightsMissing, NoNetwork."""
    from transformers import T5EncoderModel

    tokenizer = load_tokenizer(source)
    with _explained(source):
        return tokenizer, T5EncoderModel.from_pretrained(source, dtype=dtype).eval()


def load_tokenizer(source: Source = TEXT_ENCODER) -> Any:
    """The tokenizer of T5. Raises: WeightsMissing, NoNetwork."""
    from transformers import AutoTokenizer

    with _explained(source):
        return AutoTokenizer.from_pretrained(source)


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        if Path(source).is_dir():
            reason = str(error).strip().splitlines()[0]
            raise WeightsMissing(f"{source} holds no T5 text encoder with its tokenizer: {reason}") from error
        raise NoNetwork(
            f"the text encoder {source} is not in the hub's cache and could not be fetched; "
            "go online or give a local folder"
        ) from error


def load_stdit3(source: Source = TRANSFORMER, dtype: torch.dtype = torch.bfloat16) -> STDiT3:
    """The denoiser from its published form; of the published size where there is no config.json.

    Raises: WeightsMissing, NoNetwork, InvalidMedia naming the family that a wrong file looks like.
    """
    config, tensors = _read(source, STDIT3)
    return _fill(lambda: STDiT3(**stdit3_config(config)), convert_stdit3(tensors), dtype)


def load_vae(source: Source = VAE, dtype: torch.dtype = torch.bfloat16) -> AutoencoderKLOpenSora:
    """The VAE from its published form.

    Raises: WeightsMissing, NoNetwork, InvalidMedia naming the family that a wrong file looks like.
    """
    config, published = _read(source, OPENSORA_VAE)
    tensors = convert_vae(published)
    return _fill(lambda: AutoencoderKLOpenSora(**vae_config(config), **vae_sizes(tensors)), tensors, dtype)


def _read(source: Source, family: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    location = resolve(source)
    folder = location.parent if location.is_file() else location
    config = read_config(folder) if (folder / "config.json").is_file() else {}
    tensors = read_tensors(location)
    found = family_of(tensors)
    if found != family:
        likeness = (
            f"it looks like {found}" if found else f"its tensors are named like {min(tensors, default='')!r}"
        )
        raise InvalidMedia(f"{location} is not {family}: {likeness}")
    return config, tensors


def _fill(build: Callable[[], NetT], tensors: dict[str, Tensor], dtype: torch.dtype) -> NetT:
    with torch.device("meta"):
        net = build()
    load_exactly(net, tensors, dtype)
    return net.eval()
