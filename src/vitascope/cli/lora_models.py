"""The denoiser of a model, for commands that look at LoRAs: empty, or loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.engine import pipelines, weights
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.generators import for_model
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.settings import Settings


def _found(model: str) -> tuple[DiffusersGenerator, weights.Source]:
    generator = for_model(model)
    if not isinstance(generator, DiffusersGenerator):
        raise RequestError(f"{model!r} takes no LoRA", param="model")
    return generator, generator.source()


def empty_denoiser(model: str) -> Any:
    """The denoiser's layers without weights. Raises: UnknownName, NotFound, NoNetwork, RequestError."""
    import diffusers
    import torch

    generator, source = _found(model)
    configs = weights.read_configs(source, offline=Settings.from_environment().offline)
    kind = configs.index.get(generator.denoiser)
    if not isinstance(kind, list) or not kind[0]:
        raise RequestError(f"{model!r} has no {generator.denoiser} in diffusers layout", param="model")
    with torch.device("meta"):
        cls = getattr(diffusers, kind[1], None) or pipelines.import_class(generator.denoiser_class)
        return cls.from_config(dict(configs.component(generator.denoiser)))


def denoiser_pipeline(model: str) -> tuple[Path, Any, str]:
    """A model's folder, its pipeline with the denoiser alone loaded on the CPU, and the denoiser's name.

    Raises: as `empty_denoiser`, WeightsMissing.
    """
    generator, source = _found(model)
    if source.kind == "file":
        raise RequestError(f"{model!r} is a single file; give the folder of its model", param="model")
    folder = weights.local_path(source, offline=Settings.from_environment().offline)
    weights.check_folder(folder, generator.pipelines)
    index = weights.read_json(folder / "model_index.json")
    where = generator.pipeline_for[generator.profile().kinds[0]]
    names = [name for name, kind in index.items() if isinstance(kind, list) and kind and kind[0]]
    none = {name: None for name in names if name not in (generator.denoiser, "scheduler")}
    pipeline = pipelines.load(
        where, folder, Placement(device="cpu", dtype=_kept_dtype(folder, generator)), **none
    )
    return folder, pipeline, generator.denoiser


def _kept_dtype(folder: Path, generator: DiffusersGenerator) -> Any:
    """The type of number that most of the denoiser's weights are kept in."""
    from vitascope.engine.tensor_files import safetensors_header

    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    for file in sorted((folder / generator.denoiser).glob("*.safetensors")):
        for name, entry in safetensors_header(file).items():
            if name != "__metadata__" and entry["dtype"] in names:
                return names[entry["dtype"]]
    return "float32"
