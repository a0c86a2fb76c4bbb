"""Builds Open-Sora-Plan from the files that its authors published, or from files of the same form.

Source: repositories and folders as listed in README.md of github.com/PKU-YuanGroup/Open-Sora-Plan.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from vitascope.errors import InvalidMedia
from vitascope.models.checkpoints import Tensors, load_exactly, read_config, read_tensors, resolve
from vitascope.models.families import family_of
from vitascope.models.opensora_plan.causal_autoencoder import AutoencoderKLCausalVideo
from vitascope.models.opensora_plan.convert import (
    UPSTREAM_CLASSES,
    VAE_CLASS,
    config_from_upstream,
    tensors_from_upstream,
    vae_config_from_upstream,
    vae_tensors_from_upstream,
)
from vitascope.models.opensora_plan.pipeline import OpenSoraPlanPipeline
from vitascope.models.opensora_plan.releases import RELEASES
from vitascope.models.opensora_plan.transformer import OpenSoraPlanTransformer3DModel
from vitascope.models.wf_vae.causal_autoencoder import CausalVideoAutoencoder
from vitascope.models.wf_vae.convert import UPSTREAM_CLASS as WF_VAE_CLASS
from vitascope.models.wf_vae.convert import load_wf_vae

TEXT_ENCODER = "google/mt5-xxl"

Source = str | os.PathLike[str]


def load_transformer(
    source: Source, subfolder: str = "", *, dtype: torch.dtype = torch.bfloat16
) -> OpenSoraPlanTransformer3DModel:
    """A published denoiser: a hub id with `subfolder` ("93x720p", "any93x640x640_i2v"), or a local folder.

    Raises: WeightsMissing, NoNetwork, InvalidMedia naming the family that a wrong folder looks like.
    """
    folder = resolve(source, subfolder)
    config, tensors = _read(folder, UPSTREAM_CLASSES)
    with torch.device("meta"):
        model = OpenSoraPlanTransformer3DModel(**config_from_upstream(config))
    load_exactly(model, tensors_from_upstream(tensors), dtype)
    return model.eval()


def load_vae(
    source: Source, subfolder: str = "vae", *, dtype: torch.dtype = torch.bfloat16
) -> CausalVideoAutoencoder:
    """A release's autoencoder: 1.2's causal video autoencoder or 1.3's WF-VAE, as the config says.

    Raises: WeightsMissing, NoNetwork, InvalidMedia naming the family that a wrong folder looks like.
    """
    folder = resolve(source, subfolder)
    if read_config(folder).get("_class_name") == WF_VAE_CLASS:
        return load_wf_vae(folder, dtype=dtype)
    config, tensors = _read(folder, (VAE_CLASS, WF_VAE_CLASS))
    with torch.device("meta"):
        vae = AutoencoderKLCausalVideo(**vae_config_from_upstream(config))
    load_exactly(vae, vae_tensors_from_upstream(tensors), dtype)
    return vae.eval()


def load_pipeline(
    source: Source,
    variant: str = "",
    *,
    vae: Source | None = None,
    text_encoder: Source = TEXT_ENCODER,
    encoder: Any = None,
    dtype: torch.dtype = torch.bfloat16,
) -> OpenSoraPlanPipeline:
    """A whole release: a hub id or local copy of the repository, and which of its folders holds the denoiser.

    Without `variant`, `source` is the denoiser's own folder. The autoencoder is the one beside it, else that of
    the release's repository; `vae` is another folder or repository like that. `encoder` stands for the mT5
    that would be loaded; its tokenizer is read from `text_encoder` all the same.
    Raises: WeightsMissing, NoNetwork, InvalidMedia.
    """
    from transformers import AutoTokenizer, MT5EncoderModel

    transformer = load_transformer(source, variant, dtype=dtype)
    release = RELEASES["1.3" if transformer.is_sparse else "1.2"]
    return OpenSoraPlanPipeline(
        tokenizer=AutoTokenizer.from_pretrained(text_encoder),
        text_encoder=encoder or MT5EncoderModel.from_pretrained(text_encoder, dtype=dtype).eval(),
        vae=load_vae(*_vae_place(vae or _beside(source, variant) or release.repository), dtype=dtype),
        transformer=transformer,
        scheduler=release.new_scheduler(inpainting=transformer.is_for_inpainting),
        release=release.name,
    )


def _beside(source: Source, variant: str) -> Source | None:
    """The copy of a repository that a denoiser is in, if its autoencoder is there too."""
    path = Path(source)
    if not path.is_dir():
        return source
    repository = path if variant else path.parent
    return repository if (repository / "vae").is_dir() else None


def _vae_place(source: Source) -> tuple[Source, str]:
    """Where an autoencoder lies: in the folder itself, or in the "vae" of a repository."""
    return source, "" if (Path(source) / "config.json").is_file() else "vae"


def _read(folder: Path, classes: tuple[str, ...]) -> tuple[dict[str, Any], Tensors]:
    """Config and weights of a folder that must hold one of `classes`."""
    config = read_config(folder)
    if config.get("_class_name") in classes:
        return config, read_tensors(folder)
    named = config.get("_class_name") or family_of(read_tensors(folder)) or "no family that is known here"
    raise InvalidMedia(f"{folder} holds {named}, not any of {', '.join(classes)}")
