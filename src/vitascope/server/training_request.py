"""From the fields of a request to a fine-tuning: OpenAI's names for it, our recipe for all else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.errors import RequestError, invalid_value
from vitascope.jobs.office import Office, Submission
from vitascope.jobs.order import Order
from vitascope.jobs.record import DEFAULT_PRIORITY
from vitascope.jobs.training_order import MAX_CLIPS, UPLOADS, TrainingClip, TrainingOrder, clips_in, recipe_of
from vitascope.server.making import IncomingRequest
from vitascope.training.recipe import Optimiser
from vitascope.workflows.generate import DEFAULT_MODEL

MAX_RECIPE_BYTES = 64 * 2**10
_AUTO = "auto"


class Hyperparameters(BaseModel):
    """OpenAI's three; "auto" leaves one to the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_epochs: int | str | None = None
    batch_size: int | str | None = None
    learning_rate_multiplier: float | str | None = None

    def given(self) -> dict[str, Any]:
        """The hyperparameters that are set. Raises: RequestError for a word that is not "auto"."""
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, str) and value != _AUTO:
                raise RequestError(f'{name}={value[:40]!r}: a number, or "auto"', param=name)
            if value not in (None, _AUTO):
                if value <= 0:
                    raise RequestError(f"{name}={value}: more than 0", param=name)
                found[name] = value
        return found


class TrainingRequest(BaseModel):
    """Body of `POST /v1/fine_tuning/jobs`, as JSON or multipart; in multipart `recipe` may be a YAML file.

    What it learns from is one of: `clips`, uploads with their captions; `training_file`, an upload with the purpose
    `fine-tune` that lists such clips, one JSON object a line; `dataset`, a folder that the operator offers. `recipe`
    holds everything that `vitascope train` knows, as an object or as YAML; in its `data` the path `uploads` stands
    for the clips of this request, another name for a dataset. `suffix` is the name of the LoRA.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str | None = Field(None, max_length=200, description="what is fine-tuned; sprout if left out")
    training_file: str | None = Field(None, max_length=64)
    clips: tuple[TrainingClip, ...] = Field((), max_length=MAX_CLIPS)
    dataset: str | None = Field(None, max_length=80)
    suffix: str | None = Field(None, max_length=64, description="the name of the LoRA")
    trigger: str | None = Field(
        None, max_length=80, description="word put before every caption that lacks it"
    )
    seed: int | None = Field(None, ge=0)
    hyperparameters: Hyperparameters = Hyperparameters()
    method: dict[str, Any] | None = Field(None, description='{"type": "supervised", "supervised": {...}}')
    recipe: dict[str, Any] | str | None = None
    priority: int = Field(DEFAULT_PRIORITY, ge=1, le=9, description="1 is served first; a key has its best")
    metadata: dict[str, str] | None = Field(None, description="up to 16 pairs of your own")
    validation_file: str | None = Field(None, description="not supported: samples are made from prompts")
    integrations: list[Any] | None = Field(None, description="not supported: numbers stay in the service")


def training_of(incoming: IncomingRequest) -> Submission:
    """`POST /v1/fine_tuning/jobs`. Raises: RequestError, NotFound."""
    fields = dict(incoming.body.fields)
    if incoming.body.file is not None:
        fields["recipe"] = _text_of(incoming)
    try:
        asked = TrainingRequest(**fields)
    except ValidationError as error:
        raise invalid_value(error, "training") from error
    submission = incoming.submission(_order(asked), None, priority=asked.priority, said=fields)
    return training_submission(submission, _clips(asked, incoming.office, incoming.caller.tenant))


def training_submission(submission: Submission, clips: tuple[TrainingClip, ...]) -> Submission:
    """The submission with the clips that it learns from. Raises: RequestError if there are none."""
    assert submission.order.training is not None, "an order of a training"
    wants = UPLOADS in {str(source.path) for source in submission.order.training.recipe.data}
    if wants and not clips:
        raise RequestError(
            "give clips, a training_file, or the name of a dataset to learn from", param="clips"
        )
    if clips and not wants:
        raise RequestError(
            f"clips were sent, but no data of the recipe has the path {UPLOADS!r}", param="clips"
        )
    return replace(submission, training_clips=clips)


def order_of(fields: Mapping[str, Any]) -> Order:
    """The order that fields of the API ask for. Raises: RequestError."""
    try:
        return _order(TrainingRequest(**fields))
    except ValidationError as error:
        raise invalid_value(error, "training") from error


def _order(asked: TrainingRequest) -> Order:
    if asked.validation_file or asked.integrations:
        name = "validation_file" if asked.validation_file else "integrations"
        raise RequestError(f"{name} is not supported; see validation.prompts of the recipe", param=name)
    if len(asked.metadata or {}) > 16:
        raise RequestError("metadata may have 16 pairs", param="metadata")
    said = _recipe_fields(asked.recipe)
    for name, value in (("model", asked.model), ("name", asked.suffix), ("seed", asked.seed)):
        if value is not None and said.setdefault(name, value) != value:
            raise RequestError(f"{name} is {said[name]!r} in the recipe and {value!r} beside it", param=name)
    said.setdefault("model", DEFAULT_MODEL)
    said.setdefault("name", "lora")
    said.setdefault("data", [{"path": asked.dataset or UPLOADS}])
    said = _with_trigger(said, asked.trigger)
    numbers = _hyperparameters(asked)
    if "batch_size" in numbers:
        said["batch_size"] = numbers["batch_size"]
    if "learning_rate_multiplier" in numbers:
        optimiser = dict(said.get("optimiser") or {})
        rate = optimiser.get("lr", Optimiser().lr)
        said["optimiser"] = {**optimiser, "lr": rate * numbers["learning_rate_multiplier"]}
    recipe = recipe_of(said)
    source = asked.training_file or asked.dataset or UPLOADS
    training = TrainingOrder(
        recipe=recipe, epochs=numbers.get("n_epochs"), source=source, metadata=asked.metadata or {}
    )
    return Order(model=recipe.model, training=training)


def _recipe_fields(recipe: dict[str, Any] | str | None) -> dict[str, Any]:
    if not isinstance(recipe, str):
        return dict(recipe or {})
    if len(recipe.encode()) > MAX_RECIPE_BYTES:
        raise RequestError(f"a recipe may have {MAX_RECIPE_BYTES} bytes", param="recipe")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(recipe, yaml.SafeLoader)):
            raise RequestError("recipe: write values out; aliases (*name) are not taken", param="recipe")
        said = yaml.safe_load(recipe)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise RequestError(f"recipe{where}: not valid YAML", param="recipe") from error
    if not isinstance(said, dict):
        raise RequestError("recipe must be a mapping of settings", param="recipe")
    return {str(name): value for name, value in said.items()}


def _with_trigger(said: dict[str, Any], trigger: str | None) -> dict[str, Any]:
    """The trigger word on the first source of data, where the recipe has none."""
    data = said["data"]
    if not trigger or not isinstance(data, list) or not data or not isinstance(data[0], dict):
        return said
    return {**said, "data": [{"trigger": trigger, **data[0]}, *data[1:]]}


def _hyperparameters(asked: TrainingRequest) -> dict[str, Any]:
    numbers = asked.hyperparameters.given()
    method = asked.method or {"type": "supervised"}
    if method.get("type") != "supervised":
        raise RequestError(f"method.type={str(method.get('type'))[:40]!r}: only supervised", param="method")
    inner = (method.get("supervised") or {}).get("hyperparameters") or {}
    try:
        return {**numbers, **Hyperparameters(**inner).given()}
    except (ValidationError, TypeError) as error:
        raise RequestError("method.supervised.hyperparameters cannot be read", param="method") from error


def _clips(asked: TrainingRequest, office: Office, tenant: str) -> tuple[TrainingClip, ...]:
    given = [name for name in ("clips", "training_file", "dataset") if getattr(asked, name)]
    if len(given) > 1:
        raise RequestError(f"{given[0]} and {given[1]} are both given; one is enough", param=given[1])
    if not asked.training_file:
        return asked.clips
    path = office.uploads.path(asked.training_file, tenant, kind="list")
    return tuple(clips_in(path.read_text(encoding="utf-8")))


def _text_of(incoming: IncomingRequest) -> str:
    assert incoming.body.file is not None, "asked only with a file"
    data = incoming.body.file.file.read(MAX_RECIPE_BYTES + 1)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RequestError("recipe is not text in UTF-8", param="recipe") from error
