"""From what the user calls a model to the generator that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.engine import hub, weights
from vitascope.errors import InvalidMedia, ResourceError, UnknownName
from vitascope.generators import GENERATORS
from vitascope.generators.base import Generator, KnownModel
from vitascope.settings import Settings


def known_models() -> list[tuple[type[Generator], KnownModel]]:
    """Every model that a generator on the shelf knows by a short name, in the order of the shelf."""
    return [(generator, known) for generator in GENERATORS for known in generator.models]


def is_here(known: KnownModel) -> bool:
    """Whether the weights of a known model are on this machine; asks nobody."""
    if known.repo is not None:
        return hub.has_weights(known.repo, known.revision)
    try:
        weights.embedded(known.name)
    except ResourceError:
        return False
    return True


def for_model(model: str, /, **knobs: Any) -> Generator:
    """The generator that runs `model`, with these knobs.

    `model` is a short name ("sprout", "cogvideox-2b"), a hub id ("zai-org/CogVideoX-2b"), a local folder, a
    single file of weights, or the name of a generator on the shelf, which then runs its default model; with
    `weights` (a folder, file or hub id) it runs those.
    Raises: UnknownName with the nearest known one, NotFound, InvalidMedia for weights of no known family,
    NoNetwork and WeightsMissing for a hub id that has to be asked and cannot be.
    """
    if "weights" in knobs:
        knobs["model"] = knobs.pop("weights")
    for generator, known in known_models():
        if known.is_called(model):
            return generator.with_knobs(**{"model": model, **knobs})
    if model in GENERATORS.names():
        return GENERATORS[model].with_knobs(**knobs)
    source = weights.find_source(model, knobs.get("revision"))
    if source is None:
        raise UnknownName("model", model, _names(with_repositories="/" in model), param="model")
    if source.kind != "hub":
        return _family_of(Path(source.name), knobs.get("base")).with_knobs(**{"model": model, **knobs})
    configs = weights.read_configs(source, offline=Settings.from_environment().offline)
    return _family_of_pipeline(configs.pipeline, model).with_knobs(**{"model": model, **knobs})


def name_of_model(generator: str, model: str) -> dict[str, str]:
    """What `for_model` is to be told so that it finds this generator with this model: "model", maybe "weights"."""
    owners = [family.name for family, known in known_models() if known.is_called(model)]
    if owners:
        return {"model": model} if owners[0] == generator else {"model": generator, "weights": model}
    own = set(GENERATORS[generator].pipelines) if generator in GENERATORS.names() else set()
    shared = any(own & set(other.pipelines) for other in GENERATORS if other.name != generator)
    return {"model": generator, "weights": model} if shared else {"model": model}


def _names(with_repositories: bool) -> list[str]:
    models = known_models()
    ids = [repo for _, known in models for repo in (known.repo, *known.aliases) if repo]
    return [*(known.name for _, known in models), *(ids if with_repositories else ()), *GENERATORS.names()]


def _family_of(path: Path, base: str | None) -> type[Generator]:
    pipeline = weights.pipeline_of(path)
    if pipeline is not None:
        return _family_of_pipeline(pipeline, str(path))
    for generator in GENERATORS:
        if generator.recognises(path):
            return generator
    if base and path.is_file():
        return type(for_model(base))
    what = "no model_index.json and no weights" if path.is_dir() else "no keys"
    give = "a folder saved by diffusers" if path.is_dir() else "base, the model that lends its other parts"
    raise InvalidMedia(
        f"{str(path)!r} has {what} that a generator knows; give {give}, or say which "
        f"generator runs it, with --set weights=PATH and --model one of: {', '.join(GENERATORS.names())}",
        param="model",
    )


def _family_of_pipeline(pipeline: str | None, model: str) -> type[Generator]:
    for generator in GENERATORS:
        if pipeline in generator.pipelines:
            return generator
    known = sorted({name for generator in GENERATORS for name in generator.pipelines})
    raise InvalidMedia(
        f"{model!r} is a {pipeline or 'model without a pipeline class'}, which no generator here runs; "
        f"they run: {', '.join(known)}",
        param="model",
    )
