"""What can be fine-tuned, told without loading torch: a service refuses the rest at its door."""

from __future__ import annotations

from typing import Any

from vitascope.engine.weights import read_configs
from vitascope.errors import RequestError, VitascopeError
from vitascope.generators import Generator, for_model, known_models
from vitascope.task import TextToVideo
from vitascope.training.recipe import Recipe

PIPELINES = (
    "CogVideoXPipeline",
    "CogVideoXImageToVideoPipeline",
    "MochiPipeline",
    "HunyuanVideoPipeline",
)
"""Classes in `model_index.json` that a family of `training.families` knows."""


def trainable_models() -> list[str]:
    """The known models that can be fine-tuned, in the order of the shelf."""
    return [known.name for _, known in known_models() if pipeline_of(for_model(known.name)) is not None]


def pipeline_of(generator: Generator) -> str | None:
    """The pipeline class of a model's weights if it can be fine-tuned; None if not.

    Where the weights are not on this machine, the first trainable class of its family that makes what it makes.
    """
    if not hasattr(generator, "source") or not hasattr(generator, "pipelines"):
        return None
    source = generator.source()
    if source.kind == "file":
        return None
    try:
        name = read_configs(source, offline=True).pipeline
    except (VitascopeError, OSError):
        return _guessed(generator)
    return name if name in PIPELINES else None


def _guessed(generator: Generator) -> str | None:
    first = next(iter(generator.pipelines), None)
    tasks = next((k.tasks for k in generator.models if k.is_called(str(getattr(generator, "model", "")))), ())
    fitting = [
        name for name in generator.pipelines if ("ImageToVideo" in name) != (TextToVideo.kind in tasks)
    ]
    return next((name for name in fitting if name in PIPELINES and first in PIPELINES), None)


def buckets_of(generator: Any, recipe: Recipe) -> tuple[tuple[int, int, int], ...]:
    """The recipe's sizes, each one that the model can make. Raises: UnsupportedTask with the nearest."""
    profile, shape = generator.profile(), recipe.video
    first = (
        shape.width or profile.width,
        shape.height or profile.height,
        shape.num_frames or profile.num_frames,
    )
    wanted = dict.fromkeys((first, *shape.buckets))
    checked = profile.model_copy(update={"kinds": (TextToVideo.kind,)})
    for width, height, frames in wanted:
        if frames > 1:
            task = TextToVideo(prompt="any", width=width, height=height, num_frames=frames)
            checked.complete(task, recipe.model)
    return tuple(wanted)


def check_samples(recipe: Recipe, pipeline: str) -> None:
    """Raises: RequestError for prompts of samples that lack the picture which this pipeline starts from."""
    if "ImageToVideo" in pipeline and recipe.validation.prompts and not recipe.validation.images:
        raise RequestError(
            f"{recipe.model!r} starts from pictures: give validation.images one for each of its prompts",
            param="validation.images",
        )


def check_trainable(recipe: Recipe) -> Generator:
    """The generator of a recipe's model. Raises: UnknownName, RequestError for what cannot be fine-tuned."""
    generator = for_model(recipe.model)
    if (pipeline := pipeline_of(generator)) is not None:
        check_samples(recipe, pipeline)
    else:
        raise RequestError(
            f"{recipe.model!r} cannot be fine-tuned; these can: {', '.join(trainable_models())}",
            param="model",
        )
    return generator
