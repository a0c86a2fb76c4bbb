"""From a recipe back to the command, or the chain and the task, that make the clip again."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from vitascope.engine.placement import Placement
from vitascope.errors import RequestError
from vitascope.generators import name_of_model
from vitascope.recipe import Recipe, Stage

# task field -> flag of `vitascope generate`
_TASK_FLAGS = {
    "negative_prompt": "--negative",
    "num_frames": "--frames",
    "fps": "--fps",
    "seed": "--seed",
    "strength": "--strength",
    "poses": "--poses",
    "image_pose": "--image-pose",
}
_POSES = ("poses", "image_pose")
_KNOB_FLAGS = {
    "model": "--model",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "scheduler": "--scheduler",
}


# A step whose work stands in the generator's prompt: doing it again would do it twice.
_WRITES_THE_PROMPT = "expand-prompt"


@dataclass(frozen=True)
class Replay:
    """What a recipe says: the lines of a workflow as (name, knobs), the task's fields, and what it starts from.

    `image` and `video` are paths as they were given; `image_sha256` tells whether the picture is still the same.
    """

    lines: tuple[tuple[str, dict[str, Any]], ...]
    task: dict[str, Any]
    image: str | None = None
    video: str | None = None
    image_sha256: str | None = None


def replay(recipe: Recipe) -> Replay:
    """What made a recipe's clip, from its generator or from the file that was last read.

    The prompt is the one that the generator saw: what an LLM wrote once is not asked for again.
    Raises: RequestError where the recipe cannot be followed, which says why.
    """
    stages = recipe.stages
    starts = [at for at, stage in enumerate(stages) if stage.kind in ("generator", "file")]
    if not starts:
        raise RequestError("this file has no recipe that says what it started from")
    start, *rest = stages[starts[-1] :]
    after = [(stage.name, stage.knobs) for stage in rest if stage.task is None]
    if start.kind == "file":
        if not after:
            raise RequestError("Vitascope did not make this file: nothing was done to it")
        return Replay(tuple(after), {}, video=_path(start.notes, "clip"))
    if start.notes.get("batch"):
        raise RequestError("this clip was made in a batch, whose last bits one clip alone does not have")
    around = [stage for stage in rest if stage.task is not None]
    seen, asked = start.task or {}, (around[-1] if around else start).task or {}
    lines = [
        *((stage.name, stage.knobs) for stage in reversed(around) if stage.name != _WRITES_THE_PROMPT),
        ("generate", _generator_knobs(start)),
        *after,
    ]
    fields = {name: value for name, value in asked.items() if name not in ("kind", "image", "video", *_POSES)}
    fields |= {name: _path(asked[name], "pose sequence") for name in _POSES if name in asked}
    fields["prompt"] = seen.get("prompt", "")
    return Replay(tuple(lines), fields, **_sources(asked))


def _sources(task: dict[str, Any]) -> dict[str, str]:
    found = {}
    if "image" in task:
        found["image"] = _path(task["image"], "picture")
        found["image_sha256"] = task["image"].get("sha256", "")
    if "video" in task:
        stages = task["video"].get("recipe", {}).get("stages") or [{}]
        found["video"] = _path(stages[-1].get("notes", {}), "clip")
    return found


def _path(source: dict[str, Any], what: str) -> str:
    if not source.get("path"):
        raise RequestError(f"the {what} that this clip started from came from memory, not from a file")
    return str(source["path"])


def command(recipe: Recipe, file: str = "FILE", output: str = "again.mp4") -> str | None:
    """The command that makes the recipe's clip again, as a shell would take it; None where none can.

    A generation alone is spelt out with `vitascope generate`; a chain, or one along drawn paths, is read back from
    `file`, which holds its recipe, by `vitascope run`.
    """
    try:
        made = replay(recipe)
    except RequestError:
        return None
    if len(recipe.stages) > 1 or "trajectories" in made.task:  # no flag can hold a path's points
        video = ["--video", made.video] if made.video else []
        return shlex.join(["vitascope", "run", file, *video, "-o", output])
    stage = recipe.stages[0]
    prompt = str(made.task["prompt"])
    first, last = ([], ["--", prompt]) if prompt.startswith("-") else ([prompt], [])
    words = ["vitascope", "generate", *first]
    for flag, path in (("--image", made.image), ("--video", made.video)):
        words += [flag, path] if path else []
    if "width" in made.task and "height" in made.task:
        words += ["--size", f"{made.task['width']}x{made.task['height']}"]
    words += _flags(made.task, _TASK_FLAGS)
    words += _generator_words(stage)
    words += _placement_words(recipe.placement)
    if recipe.labels.words != "none":
        words += ["--label", recipe.labels.words]
    return shlex.join([*words, "-o", output, *last])


def _placement_words(placement: dict[str, Any]) -> list[str]:
    words = []
    for name, value in placement.items():
        field = Placement.model_fields.get(name)
        if field is None or value in (None, field.default) or name == "vae_slicing":  # it is for batches
            continue
        if name in ("device", "dtype", "offload", "speed"):
            words += [f"--{name}", str(value)]
        elif name == "memory_gib":
            words += ["--memory", f"{value:g}GiB"]
        else:
            words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return words


def _flags(values: dict[str, Any], flags: dict[str, str]) -> list[str]:
    given = {flag: values[name] for name, flag in flags.items() if values.get(name) not in (None, "")}
    return [word for flag, value in given.items() for word in (flag, str(value))]


def _generator_knobs(stage: Stage) -> dict[str, Any]:
    """A generator's knobs, its model said so that the same generator is found for it."""
    if "model" not in stage.knobs:
        return {"model": stage.name, **stage.knobs}
    return {**stage.knobs, **name_of_model(stage.name, str(stage.knobs["model"]))}


def _generator_words(stage: Stage) -> list[str]:
    knobs = _generator_knobs(stage)
    words = _flags(knobs, _KNOB_FLAGS)
    for lora in knobs.pop("loras", None) or ():
        words += ["--lora", lora if isinstance(lora, str) else f"{lora['file']}:{lora['scale']}"]
    said = {*_KNOB_FLAGS, *(name for name in _TASK_FLAGS if (stage.task or {}).get(name))}
    for name, value in knobs.items():
        if name not in said and value is not None:
            words += ["--set", f"{name}={value or json.dumps(value)}"]
    return words
