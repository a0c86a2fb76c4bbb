"""One call from a sentence, a picture or a clip to a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, UnknownName, invalid_value
from vitascope.generators import Generator, for_model
from vitascope.labels.policy import Labelling
from vitascope.media import read, read_image
from vitascope.poses import PoseSequence
from vitascope.recipe import Stage
from vitascope.task import ImageToVideo, MotionToVideo, Task, TextToVideo, TrajectoryToVideo, VideoToVideo
from vitascope.tracks import Trajectories
from vitascope.workflows.chain import Chain

DEFAULT_MODEL = "sprout"
DEFAULT_FROM_PICTURE = "sprout-i2v"


# Embedded models follow no paths, and tens of gigabytes are not fetched unasked.
WHO_FOLLOWS_PATHS = "say which model follows the paths: tora from text, tora-i2v from a picture"
WHO_FOLLOWS_POSES = "say which model follows the poses: mimicmotion-1.1"


class GenerationRequest(BaseModel):
    """One request taken apart: what to make, who makes it, where it runs."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    task: Task
    generator: Generator
    placement: Placement


def clip_from(path: str | Path) -> Clip:
    """The clip of a file, its recipe saying from where it was read. Raises: NotFound, InvalidMedia."""
    clip = read(path)
    stages = clip.recipe.stages
    if stages and stages[-1].kind == "file":  # said by `read` already, with what it noticed
        return replace(clip, recipe=clip.recipe.with_note("path", str(path)))
    stage = Stage(kind="file", name=Path(path).name, notes={"path": str(path)})
    return replace(clip, recipe=clip.recipe.then(stage))


def task_kind(
    image: Any = None, video: Any = None, trajectories: Any = None, poses: Any = None
) -> type[Task]:
    """The kind of task that these ask for."""
    if trajectories is not None:
        return TrajectoryToVideo
    if poses is not None:
        return MotionToVideo
    return ImageToVideo if image is not None else VideoToVideo if video is not None else TextToVideo


def _poses_in(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Poses that are named by their file, read. Raises: NotFound, InvalidMedia."""
    named = {
        name: fields[name] for name in ("poses", "image_pose") if isinstance(fields.get(name), str | Path)
    }
    return {name: PoseSequence.read(path) for name, path in named.items()}


def task_from(
    prompt: str,
    image: str | Path | Image | None = None,
    video: str | Path | Clip | None = None,
    trajectories: Any = None,
    **fields: Any,
) -> Task:
    """The task that a prompt, with a picture or a clip or neither, asks for; `trajectories` as `Trajectories.of` says.

    With `poses` (and `image_pose`), how the picture's person moves: pose sequences, their files or their fields.

    Raises: RequestError for both at once or a field out of range, NotFound, InvalidMedia.
    """
    if image is not None and video is not None:
        raise RequestError("give a picture or a clip to start from, not both", param="image")
    picture = image if image is None or isinstance(image, Image) else read_image(image)
    if trajectories is not None:
        if video is not None:
            raise RequestError(
                "paths are followed from text or from a picture, not from a clip", param="video"
            )
        paths = Trajectories.of(trajectories)
        return TrajectoryToVideo.of(prompt=prompt, trajectories=paths, image=picture, **fields)
    if fields.get("poses") is not None:
        if picture is None:
            raise RequestError(
                "poses move the person of a picture: give the picture too (image)", param="image"
            )
        return MotionToVideo.of(prompt=prompt, image=picture, **{**fields, **_poses_in(fields)})
    if picture is not None:
        return ImageToVideo.of(prompt=prompt, image=picture, **fields)
    if video is not None:
        clip = video if isinstance(video, Clip) else clip_from(video)
        return VideoToVideo.of(prompt=prompt, video=clip, **fields)
    return TextToVideo.of(prompt=prompt, **fields)


def order(
    prompt: str,
    *,
    model: str | None = None,
    weights: str | None = None,
    image: str | Path | Image | None = None,
    video: str | Path | Clip | None = None,
    trajectories: Any = None,
    **options: Any,
) -> GenerationRequest:
    """Sort `options` into the task's fields, the placement's fields and the generator's knobs.

    With no `model` the embedded one for the task is taken: one from text, one from a picture. `weights` are the
    folder, file or hub id that the generator called `model` runs, where they could be another's too.
    Raises: UnknownName for an option that none of them has, RequestError for a value out of range.
    """
    if trajectories is not None and model is None:
        raise RequestError(WHO_FOLLOWS_PATHS, param="model")
    if options.get("poses") is not None and model is None:
        raise RequestError(WHO_FOLLOWS_POSES, param="model")
    model = model or (DEFAULT_MODEL if image is None else DEFAULT_FROM_PICTURE)
    lender = {name: options[name] for name in ("base",) if name in options}  # may tell whose a single file is
    generator = for_model(model, **lender)
    kind = task_kind(image, video, trajectories, options.get("poses"))
    owners: dict[str, dict[str, Any]] = {"task": {}, "placement": {}, "knobs": {}}
    for name, value in options.items():
        if name in kind.model_fields:
            owners["task"][name] = value
            if (
                value == "" and name in type(generator).model_fields
            ):  # not the authors' negative prompt either
                owners["knobs"][name] = value
        elif name in Placement.model_fields:
            owners["placement"][name] = value
        elif name in type(generator).model_fields:
            owners["knobs"][name] = value
        else:
            known = {*kind.model_fields, *Placement.model_fields, *type(generator).model_fields}
            raise UnknownName(f"option for {generator.name}", name, known, param=name)
    try:
        placement = Placement(**owners["placement"])
    except ValidationError as error:
        raise invalid_value(error, "placement") from error
    task = task_from(prompt, image, video, trajectories, **owners["task"])
    knobs = owners["knobs"] | ({} if weights is None else {"weights": weights})
    return GenerationRequest(task=task, generator=for_model(model, **knobs), placement=placement)


@lru_cache(maxsize=1)
def _warm_engine(placement: Placement) -> Engine:
    return Engine(placement)


def generate(
    prompt: str,
    *,
    model: str | None = None,
    image: str | Path | Image | None = None,
    video: str | Path | Clip | None = None,
    trajectories: Any = None,
    label: str | None = None,
    context: Context | None = None,
    **options: Any,
) -> Clip:
    """Make a clip from a sentence; with `image`, from its first frame on; with `video`, from that clip.

    `trajectories`: paths that things follow, for a model that can: a file, several, or lists of points as fractions.
    With `image` and `poses` (a PoseSequence or its file) the picture's person moves so; `image_pose` says where it
    stands.

    `options` are fields of the task (`width`, `height`, `num_frames`, `fps`, `seed`, `negative_prompt`,
    `strength`), of the placement (`device`, `dtype`, `offload`, ...) and knobs of the model's generator
    (`num_inference_steps`, `guidance_scale`, `scheduler`, `loras`, ...). Models stay loaded between calls
    with the same placement. `label` (cn, c2pa, cn,c2pa, none) says how files made of the clip tell that it was
    generated; VITASCOPE_LABEL where it is not given.

    Raises: RequestError (asked wrongly), ResourceError (something is missing here), RunError (our fault).
    """
    labelling = Labelling.of(label)
    asked = order(prompt, model=model, image=image, video=video, trajectories=trajectories, **options)
    asked.placement.check_together(num_clips=1)
    chain = Chain(generator=asked.generator)
    return labelling.on(chain.run(asked.task, _warm_engine(asked.placement), context or Context()))
