"""The fine-tuning recipe: one frozen record, every default explained, errors with file and line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vitascope.errors import RequestError
from vitascope.workflows.document import Located, read_yaml


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class DataSource(_Part):
    """A folder of clips or pictures, and how its captions are found."""

    path: Path = Field(description="folder of videos and pictures, beside the recipe unless absolute")
    captions: Path | None = Field(
        None,
        description="CSV or JSONL with columns file and caption; without it captions.csv, captions.jsonl, "
        "metadata.csv or metadata.jsonl in the folder, else a .txt beside each clip",
    )
    trigger: str = Field(
        "",
        description="word put before every caption that lacks it; choose one that the base does not know",
    )
    missing: Literal["refuse", "skip", "trigger"] = Field(
        "refuse",
        description="a clip without caption: refuse to start, leave it out, or caption it by trigger",
    )
    share: float = Field(1.0, gt=0, description="how often this folder is drawn, relative to the others")
    flip: bool = Field(
        False,
        description="mirror every other time it is drawn; never clips whose caption names a side or writing",
    )


class VideoShape(_Part):
    """Which sizes and lengths clips are cut to; each clip goes to the bucket that loses least of it."""

    width: int | None = Field(None, ge=16, description="pixels; None: the model's own")
    height: int | None = Field(None, ge=16, description="pixels; None: the model's own")
    num_frames: int | None = Field(None, ge=1, description="frames; None: the model's own")
    buckets: tuple[tuple[int, int, int], ...] = Field(
        (), description="further [width, height, num_frames]; a batch is of one bucket"
    )
    start: Literal["begin", "middle"] = Field("begin", description="which part of a clip that is too long")
    fps: float | None = Field(None, gt=0, description="frames a second to sample at; None: the clip's own")


class Adapter(_Part):
    """The low-rank layers. Source: LoRA arXiv 2106.09685; rsLoRA 2312.03732; DoRA 2402.09353."""

    rank: int = Field(16, ge=1, le=1024, description="width of the layers: more can learn more, and overfit")
    alpha: float | None = Field(None, gt=0, description="strength is alpha / rank; None: alpha = rank")
    targets: tuple[str, ...] | Literal["attention", "all"] = Field(
        "attention", description="attention, all (feed-forward too), or names of layers"
    )
    rslora: bool = Field(False, description="strength alpha / sqrt(rank), steadier at high ranks")
    dora: bool = Field(False, description="learn a magnitude of each output too: better, and a third slower")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the adapter's input")

    @property
    def strength(self) -> float:
        """Alpha with its default filled in."""
        return float(self.rank) if self.alpha is None else self.alpha


class Optimiser(_Part):
    """The optimiser, its learning rate and its schedule."""

    name: Literal["adamw", "adamw-8bit", "prodigy", "muon"] = Field(
        "adamw", description="adamw-8bit needs the extra train-8bit, prodigy the extra prodigy"
    )
    lr: float = Field(1e-4, gt=0, le=10, description="learning rate; prodigy wants 1.0")
    betas: tuple[float, float] = Field((0.9, 0.99), description="momenta of gradient and its square")
    weight_decay: float = Field(0.0, ge=0, description="pull towards no change")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are shortened to this")
    warmup: int = Field(20, ge=0, description="steps over which the rate rises")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="how the rate falls over the rest, or stays"
    )


class Objective(_Part):
    """Which noise is trained on, and how errors count."""

    timesteps: Literal["uniform", "stratified", "logit-normal"] = Field(
        "stratified", description="stratified: the samples of a step spread evenly over all noise levels"
    )
    min_snr: float | None = Field(
        None, gt=0, description="gamma of min-SNR (arXiv 2303.09556, 5 is usual); None: every level counts 1"
    )
    caption_dropout: float = Field(
        0.1, ge=0, le=1, description="share trained without caption, which guidance needs"
    )
    image_dropout: float = Field(0.05, ge=0, le=1, description="picture to video: share without picture")


class TrainingPlacement(_Part):
    """Where it runs and what it may cost; none of it changes what is learnt beyond rounding, but `base`."""

    device: str = Field("auto", description="cuda if there is one, else cpu")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="bfloat16 on a GPU")
    base: Literal["full", "fp8", "int8"] = Field(
        "full", description="how the frozen weights are kept: fp8 and int8 take half of bfloat16"
    )
    checkpointing: Literal["auto", "none", "attention", "full"] = Field(
        "auto",
        description="recompute instead of keeping: nothing, all but attention, or all; auto by free memory",
    )
    compile: bool | Literal["auto"] = Field(
        "auto",
        description="compile the blocks: faster steps after a minute; auto: on a GPU for ten minutes or more",
    )
    sharding: Literal["none", "fsdp2"] = Field(
        "none", description="several GPUs: each keeps all frozen weights, or its share of them"
    )
    memory_gib: float | None = Field(None, gt=0, description="use at most this much of the device")


class Validation(_Part):
    """Clips made while training, always from the same seeds."""

    prompts: tuple[str, ...] = Field((), description="what to make; none: no validation")
    images: tuple[Path, ...] = Field((), description="picture to video: one a prompt")
    every: int = Field(0, ge=0, description="steps; 0: at the end only")
    seed: int = Field(0, ge=0)
    num_inference_steps: int | None = Field(None, ge=1)
    guidance_scale: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_picture_a_prompt(self) -> Self:
        if self.images and len(self.images) != len(self.prompts):
            raise ValueError(f"{len(self.images)} images for {len(self.prompts)} prompts; give one each")
        return self


class Saving(_Part):
    """What is kept on the way."""

    every: int = Field(100, ge=0, description="steps between checkpoints; 0: at the end only")
    keep: int = Field(2, ge=1, description="newest checkpoints that stay")
    ema: float = Field(
        0.0, ge=0, lt=1, description="running average of the adapter, which is then the result"
    )
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = Field(
        ("tensorboard",), description="tensorboard needs the extra train; log.jsonl is always written"
    )


class Recipe(_Part):
    """A fine-tuning, from data to the file that comes out."""

    name: str = Field(description="of the LoRA: letters, digits, - and _", pattern=r"^[\w-]{1,80}$")
    model: str = Field(description="what is fine-tuned: short name, hub id or folder")
    revision: str | None = None
    data: tuple[DataSource, ...] = Field(min_length=1)
    output: Path | None = Field(None, description="folder of the run; None: outputs/train/NAME")
    steps: int = Field(1000, ge=1, le=1_000_000, description="updates of the weights")
    batch_size: int = Field(1, ge=1, le=4096, description="clips at once on each GPU")
    accumulate: int = Field(1, ge=1, le=1024, description="batches added up before an update")
    seed: int = Field(0, ge=0)
    video: VideoShape = VideoShape()
    adapter: Adapter = Adapter()
    optimiser: Optimiser = Optimiser()
    objective: Objective = Objective()
    placement: TrainingPlacement = TrainingPlacement()
    validation: Validation = Validation()
    saving: Saving = Saving()

    @field_validator("data", mode="before")
    @classmethod
    def _one_folder(cls, data: Any) -> Any:
        return [{"path": data}] if isinstance(data, str) else data

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.output or Path("outputs") / "train" / self.name

    def fingerprint(self) -> str:
        """Equal for recipes whose runs may go on from each other's checkpoints: all but how long and where to."""
        said = self.model_dump(
            mode="json", exclude={"steps", "output", "validation", "saving", "placement", "name"}
        )
        said["optimiser"].pop("schedule")
        for source in said["data"]:  # the data are told apart by their content, wherever they lie
            del source["path"], source["captions"]
        said |= {"ema": self.saving.ema, "base": self.placement.base}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def read_recipe(path: Path, changes: dict[str, Any] | None = None) -> Recipe:
    """A recipe from a YAML file, with `changes` by dotted names ("adapter.rank": 8) on top.

    Paths of data, captions and pictures are taken from the file's folder.
    Raises: NotFound, RequestError naming file and line.
    """
    document = read_yaml(path, "training recipe")
    document.mapping("the recipe")
    data = document.plain()
    for name, value in (changes or {}).items():
        _put(data, name, value)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise _located_error(document, error, set(changes or {})) from error
    return _beside(recipe, path.parent)


def _put(data: dict[str, Any], name: str, value: Any) -> None:
    *above, last = name.split(".")
    for part in above:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RequestError(f"--set {name}: {part} is no group of settings", param=name)
        data = inner
    data[last] = value


def refusal(error: ValidationError) -> tuple[list[Any], str]:
    """Where pydantic's first complaint about a recipe is, and the complaint as one line."""
    first = error.errors()[0]
    where = [part for part in first["loc"] if not _is_union_tag(part)]
    name = ".".join(str(part) for part in where) or "recipe"
    value = "" if first["type"] == "missing" else f"={str(first.get('input'))[:80]!r}"
    known = f"; known here: {', '.join(_fields_at(where))}" if first["type"] == "extra_forbidden" else ""
    return where, f"{name}{value}: {first['msg'].removeprefix('Value error, ')}{known}"


def _located_error(document: Located, error: ValidationError, changed: set[str]) -> RequestError:
    where, message = refusal(error)
    place, name = document, ".".join(str(part) for part in where)
    for part in where:
        inner = place.value
        if isinstance(inner, dict) and part in inner:
            place = inner[str(part)]
        elif isinstance(inner, tuple) and isinstance(part, int) and part < len(inner):
            place = inner[part]
        else:
            break
    if name in changed:
        return RequestError(f"--set {message}", param=name)
    return place.complain(message)


def _is_union_tag(part: Any) -> bool:
    return isinstance(part, str) and any(mark in part for mark in "[(")


def _fields_at(where: list[Any]) -> list[str]:
    model: Any = Recipe
    for part in where[:-1]:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = DataSource if part == "data" else field.annotation
    return sorted(model.model_fields)


def _beside(recipe: Recipe, folder: Path) -> Recipe:
    def there(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    sources = [
        source.model_copy(update={"path": there(source.path), "captions": there(source.captions)})
        for source in recipe.data
    ]
    images = tuple(folder / image.expanduser() for image in recipe.validation.images)
    return recipe.model_copy(
        update={
            "data": tuple(sources),
            "validation": recipe.validation.model_copy(update={"images": images}),
        }
    )
