"""What a client may ask for, checked whole before it is queued and taken up again by the worker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Speed
from vitascope.errors import RequestError, UnknownName, UnsupportedTask
from vitascope.generators import GENERATORS, Generator, for_model
from vitascope.generators import known_models as known
from vitascope.jobs.continuation import joined, last_frame
from vitascope.jobs.loras import LoraChoice, choices, file_names
from vitascope.jobs.reference import MAX_CLIP_PIXELS, MAX_SIDE, read_reference
from vitascope.jobs.training_order import TrainingOrder
from vitascope.shelf import Item
from vitascope.steps import STEPS
from vitascope.steps.base import Extent
from vitascope.task import Task
from vitascope.tracks import Trajectories
from vitascope.workflows import Chain, ClipStore, load
from vitascope.workflows import workflow as workflows
from vitascope.workflows.generate import (
    DEFAULT_FROM_PICTURE,
    DEFAULT_MODEL,
    WHO_FOLLOWS_PATHS,
    WHO_FOLLOWS_POSES,
    task_from,
    task_kind,
)

MAX_SECONDS = 600
MAX_RESULT_PIXELS = 8 * MAX_CLIP_PIXELS  # over all frames: a clip as long as is taken, doubled three times
FINE_TUNED = "ft"


class Order(BaseModel):
    """One request as data. `options`: fields of the task and plain knobs of the generator, by their names.

    `model`: empty for the embedded one that makes videos from what was sent. `reference`: the name of an
    uploaded picture or clip in the job's folder. `step`: treat that clip with this step, whose knobs the options
    are. `extends`: go on from the last frame of that clip, and join both. `loras`: those that the job puts on;
    their files are in its folder. `speed`: None for the worker's own. `training`: fine-tune the model instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = ""
    model: str = DEFAULT_MODEL
    workflow: str | None = None
    step: str | None = None
    extends: bool = False
    loras: tuple[LoraChoice, ...] = ()
    speed: Speed | None = None
    seconds: float | None = Field(None, gt=0, le=MAX_SECONDS)
    reference: str | None = None
    label: str = "none"  # this and the next are the deployment's, never the client's
    is_moderated: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    training: TrainingOrder | None = None


@dataclass(frozen=True)
class Prepared:
    """An order that was found possible: the chain, and the task or the clip that it starts from.

    `before`: the clip whose continuation is made.
    """

    chain: Chain
    start: Task | Clip
    before: Clip | None = None

    def run(self, engine: Engine, context: Context, store: ClipStore) -> Clip:
        """Make the clip; what `store` has is not made again. Raises: as `Chain.run`."""
        if isinstance(self.start, Clip):
            return self.chain.run_after(self.start, engine, context, store)
        clip = self.chain.run(self.start, engine, context, store)
        return clip if self.before is None else joined(self.before, clip)

    def measures(self) -> tuple[str, str]:
        """Seconds and size as the API writes them, before steps that change them; empty where not known."""
        asked = self.start
        if isinstance(asked, Task) and self.chain.generator is not None:
            with suppress(UnsupportedTask):  # a step around the generator may still change the task
                asked = self.chain.generator.complete(asked)
        if self.before is not None and asked.num_frames:
            clip = self.before  # the first new frame is the last old one
            return written_measures(clip.num_frames + asked.num_frames - 1, clip.fps, clip.width, clip.height)
        return written_measures(asked.num_frames, asked.fps, asked.width, asked.height)


def written_measures(
    num_frames: int | None, fps: Fraction | None, width: int | None, height: int | None
) -> tuple[str, str]:
    """Seconds and size as text: ("2.125", "128x128"); empty where a part is not known."""
    seconds = f"{round(float(num_frames / fps), 3):g}" if num_frames and fps else ""
    return seconds, f"{width}x{height}" if width and height else ""


def with_own_model(order: Order) -> Order:
    """An order whose model is a fine-tuned one, `ft:sprout:inkwash`, as its base with that LoRA put on."""
    if not order.model.startswith(f"{FINE_TUNED}:"):
        return order
    _, _, rest = order.model.partition(":")
    base, _, name = rest.partition(":")
    return order.model_copy(update={"model": base, "loras": (*order.loras, *choices([name]))})


def default_model(reference_kind: str, options: Mapping[str, Any]) -> str:
    """The embedded model for a request without a reference (""), or with a "picture" or a "clip".

    Raises: RequestError for what no embedded model does.
    """
    if "trajectories" in options:
        raise RequestError(WHO_FOLLOWS_PATHS, param="model")
    if "poses" in options:
        raise RequestError(WHO_FOLLOWS_POSES, param="model")
    return DEFAULT_FROM_PICTURE if reference_kind == "picture" else DEFAULT_MODEL


@cache
def public_models() -> tuple[str, ...]:
    """The models that a client may name: never a path, never a hub id that would be downloaded."""
    return (*(model.name for _, model in known()), *GENERATORS.names())


@cache
def _of_shelf(model: str) -> Generator:
    """The generator of a public model with its own knobs; looking through the shelf takes its time."""
    return for_model(model)


def prepare(order: Order, folder: Path) -> Prepared:
    """Check an order as far as it can be without loading a model; imports no torch.

    Raises: UnknownName, UnsupportedTask, InvalidMedia, RequestError.
    """
    if order.model not in public_models():
        raise UnknownName("model", order.model, public_models(), param="model")
    _check_poses(order.options)
    media = read_reference(folder / order.reference, whole=False).media if order.reference else None
    if order.step is not None or order.extends:
        if not isinstance(media, Clip):
            raise RequestError("send a clip: a picture has no next frame", param="video")
        return _bounded(_treating(order, media) if order.step else _going_on(order, media, folder))
    chain, fields = _chain(order, media, folder)
    if chain.generator is None:
        if not isinstance(media, Clip):
            raise RequestError(
                f"workflow {order.workflow!r} treats a clip: send one as input_reference",
                param="input_reference",
            )
        return _bounded(Prepared(chain, media))
    task = _task(order.prompt, media, fields)
    if order.seconds is not None:
        task = _lasting(task, order.seconds, chain.generator)
    chain.check(task)
    return _bounded(Prepared(chain, task))


def _bounded(prepared: Prepared) -> Prepared:
    """What is asked, if its steps make no clip that is too large for a service, or that fits no clip before it.

    Raises: RequestError.
    """
    start, chain = prepared.start, prepared.chain
    if isinstance(start, Task) and chain.generator is not None:
        with suppress(UnsupportedTask):  # as in `measures`
            start = chain.generator.complete(start)
    if not (start.num_frames and start.fps and start.width and start.height):
        return prepared
    extent = Extent(start.num_frames, start.fps, start.width, start.height)
    for step in chain.after:
        extent = step.extent(extent)
        if max(extent.width, extent.height) > MAX_SIDE or extent.num_pixels > MAX_RESULT_PIXELS:
            raise RequestError(
                f"{step.name} would make {extent.num_frames} frames of {extent.width}x{extent.height}; at most "
                f"{MAX_SIDE} pixels a side and {MAX_RESULT_PIXELS} over all frames are made"
            )
        before = prepared.before
        if before is not None and (extent.fps, extent.width, extent.height) != _shape(before):
            raise RequestError(
                f"{step.name} would make {float(extent.fps):g} frames a second of {extent.width}x{extent.height} "
                f"of what goes on, and the clip has {float(before.fps):g} of {before.width}x{before.height}; "
                "go on first, then run the step on the whole",
                param="workflow",
            )
    return prepared


def _shape(clip: Clip) -> tuple[Fraction, int, int]:
    return clip.fps, clip.width, clip.height


def _treating(order: Order, clip: Clip) -> Prepared:
    """One step on a given clip."""
    step = STEPS[order.step or ""]
    fields = step.model_fields
    allowed = {name for name, field in fields.items() if _is_plain(field.annotation)}
    for name in order.options:
        if name not in allowed:
            raise UnknownName(f"parameter of step {order.step}", name, allowed, param=name)
    return Prepared(Chain(after=(step.with_knobs(**order.options),)), clip)


def _going_on(order: Order, clip: Clip, folder: Path) -> Prepared:
    """An order that continues a clip: from its last frame, in its size and at its rate."""
    given = {"width": clip.width, "height": clip.height, "fps": clip.fps}
    for name in given:
        if name in order.options:
            raise RequestError(f"an extension has the {name} of the clip that it goes on from", param=name)
    picture = last_frame(clip)
    chain, fields = _chain(order, picture, folder)
    if chain.generator is None:
        raise RequestError(f"workflow {order.workflow!r} generates nothing to go on with", param="workflow")
    task = _task(order.prompt, picture, {**fields, **given})
    if order.seconds is not None:
        task = _lasting(task, order.seconds, chain.generator)
    chain.check(task)
    return Prepared(chain, task, before=clip)


def _check_poses(options: Mapping[str, Any]) -> None:
    """Poses come with the request: a name would be read as a file of this machine. Raises: RequestError."""
    for name in ("poses", "image_pose"):
        if options.get(name) is not None and not isinstance(options[name], Mapping):
            raise RequestError(
                f"{name} is an object, as in a pose file, not {options[name]!r:.60}", param=name
            )


def _task(prompt: str, media: Image | Clip | None, fields: dict[str, Any]) -> Task:
    if isinstance(media, Image):
        return task_from(prompt, image=media, **fields)
    return task_from(prompt, video=media, **fields)


def _chain(order: Order, media: Image | Clip | None, folder: Path) -> tuple[Chain, dict[str, Any]]:
    """The chain that is asked for, and those options that belong to the task."""
    image, video = (media, None) if isinstance(media, Image) else (None, media)
    kind = task_kind(image, video, order.options.get("trajectories"), order.options.get("poses"))
    task_fields = set(kind.model_fields) - {"prompt", "image", "video"}
    fields = {name: value for name, value in order.options.items() if name in task_fields}
    if "trajectories" in fields:  # a client names no file of ours
        fields["trajectories"] = Trajectories.stated(fields["trajectories"])
    generator = _of_shelf(order.model)
    of_steps = {name: value for name, value in order.options.items() if order.workflow and "." in name}
    options = {name: value for name, value in order.options.items() if name not in of_steps}
    knobs = _plain_knobs(type(generator), options, task_fields)
    if order.loras:
        knobs["loras"] = _lora_files(order, type(generator), folder)
    if order.workflow is None:
        return Chain(generator=generator.with_knobs(**{**_named(generator), **knobs})), fields
    if order.workflow not in workflows.names():
        raise UnknownName("workflow", order.workflow, workflows.names(), param="workflow")
    workflow = _read(order.workflow)
    settings = _step_settings(workflow, of_steps)
    if workflow.chain.generator is not None:
        settings |= {f"generate.{name}": value for name, value in {"model": order.model, **knobs}.items()}
    elif options:
        raise RequestError(f"workflow {order.workflow!r} takes no options: {', '.join(options)}")
    return _read(order.workflow, settings).chain, fields


def _read(name: str, settings: Mapping[str, Any] | None = None) -> workflows.Workflow:
    """A built-in workflow. Raises: RequestError that does not say where on our disk it lies."""
    try:
        return load(name, settings)
    except RequestError as error:
        said = str(error).replace(f"{workflows.BUILT_IN}/", "")
        if said == str(error):
            raise
        raise RequestError(said, param=error.param) from error


def _step_settings(workflow: workflows.Workflow, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings such as `interpolate.factor`, if each is plain: a request may name no file and no address.

    Raises: UnknownName.
    """
    chain = workflow.chain
    items = [*chain.around, *([chain.generator] if chain.generator else []), *chain.after]
    allowed = {
        f"{step_id}.{name}"
        for step_id, item in zip(workflow.ids, items, strict=True)
        if step_id != workflows.GENERATE
        for name in plain_fields(type(item))
    }
    for name in settings:
        if name not in allowed:
            raise UnknownName(f"setting of {workflow.name}", name, allowed, param=name)
    return dict(settings)


def _named(generator: Generator) -> dict[str, Any]:
    """The `model` knob as `for_model` has set it; empty for a generator without one."""
    return {"model": getattr(generator, "model")} if "model" in type(generator).model_fields else {}  # noqa: B009


def _lora_files(order: Order, generator: type[Generator], folder: Path) -> tuple[str, ...]:
    """The job's own copies of its LoRA files, as the generator's knob writes them."""
    if "loras" not in generator.model_fields:
        raise RequestError(f"{generator.name} takes no LoRA", param="loras")
    files = zip(file_names(order.loras), order.loras, strict=True)
    return tuple(f"{folder / name}:{lora.weight}" for name, lora in files)


def _plain_knobs(
    generator: type[Generator], options: Mapping[str, Any], task_fields: set[str]
) -> dict[str, Any]:
    """Those options that are knobs of the generator and can name no file.

    Raises: UnknownName for an option that nobody has.
    """
    fields = generator.model_fields
    allowed = {name for name, field in fields.items() if name == "scheduler" or _is_plain(field.annotation)}
    knobs = {name: value for name, value in options.items() if name not in task_fields}
    for name in knobs:
        if name not in allowed:
            raise UnknownName(f"parameter of {generator.name}", name, {*allowed, *task_fields}, param=name)
    return knobs


def plain_fields(item: type[Item]) -> dict[str, tuple[Any, FieldInfo]]:
    """The fields of an item that a request may set, each with its kind: a type, or a tuple of words."""
    return {
        name: (_kind(field.annotation), field)
        for name, field in item.model_fields.items()
        if _is_plain(field.annotation)
    }


def _kind(annotation: Any) -> Any:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    kinds = [part for part in get_args(annotation) or (annotation,) if part is not type(None)]
    return _kind(kinds[0]) if get_args(annotation) else kinds[0]


def _is_plain(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return all(_is_plain(part) for part in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return _is_plain(get_args(annotation)[0])
    return annotation in (int, float, bool, Fraction, type(None)) or get_origin(annotation) is Literal


def _lasting(task: Task, seconds: float, generator: Generator) -> Task:
    """The task with the number of frames that comes nearest to `seconds` and that the generator can make.

    Raises: RequestError if the frames are given too, UnsupportedTask if none within half a second is possible.
    """
    if task.num_frames is not None:
        raise RequestError("give seconds or num_frames, not both", param="seconds")
    fps = task.fps or generator.complete(task).fps
    if fps is None:
        raise RequestError(f"{generator.name} needs fps to turn seconds into frames", param="fps")
    wanted = round(seconds * fps)
    refusal: UnsupportedTask | None = None
    for distance in range(math.ceil(fps / 2) + 1):
        for count in (wanted + distance, wanted - distance):
            if count < 1:
                continue
            try:
                asked = task.model_copy(update={"num_frames": count})
                generator.complete(asked)
                return asked
            except UnsupportedTask as error:
                refusal = refusal or error
    raise refusal or UnsupportedTask(f"{generator.name} cannot make {seconds:g} seconds", param="seconds")
