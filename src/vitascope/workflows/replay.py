"""From a recipe back to the command that makes the clip again."""

from __future__ import annotations

import shlex
from typing import Any

from vitascope.recipe import Recipe, Stage

# task field -> flag of `vitascope generate`
_TASK_FLAGS = {
    "negative_prompt": "--negative",
    "num_frames": "--frames",
    "fps": "--fps",
    "seed": "--seed",
    "strength": "--strength",
}
_KNOB_FLAGS = {
    "model": "--model",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "scheduler": "--scheduler",
}


def command(recipe: Recipe, output: str = "again.mp4") -> str | None:
    """The `vitascope generate` command that makes the recipe's clip again, as a shell would take it.

    None where no command can: a recipe without a generator, with further steps, with a batch, or whose
    picture or clip came from memory and not from a file.
    """
    if len(recipe.stages) != 1 or recipe.stages[0].kind != "generator" or recipe.stages[0].notes.get("batch"):
        return None
    stage = recipe.stages[0]
    task = stage.task or {}
    words = ["vitascope", "generate", str(task.get("prompt", ""))]
    for field, flag in (("image", "--image"), ("video", "--video")):
        if field in task:
            path = task[field].get("path")
            if not path:
                return None
            words += [flag, path]
    if "width" in task and "height" in task:
        words += ["--size", f"{task['width']}x{task['height']}"]
    words += _flags(task, _TASK_FLAGS)
    words += _generator_words(stage)
    for name in ("device", "dtype", "speed", "offload"):
        if recipe.placement.get(name) not in (None, "auto", "none"):
            words += [f"--{name}", str(recipe.placement[name])]
    words += ["-o", output]
    return shlex.join(words)


def _flags(values: dict[str, Any], flags: dict[str, str]) -> list[str]:
    given = {flag: values[name] for name, flag in flags.items() if values.get(name) not in (None, "")}
    return [word for flag, value in given.items() for word in (flag, str(value))]


def _generator_words(stage: Stage) -> list[str]:
    knobs = dict(stage.knobs)
    words = _flags({**knobs, "model": knobs.get("model", stage.name)}, _KNOB_FLAGS)
    for lora in knobs.pop("loras", None) or ():
        words += ["--lora", lora if isinstance(lora, str) else f"{lora['file']}:{lora['scale']}"]
    for name, value in knobs.items():
        if name not in _KNOB_FLAGS and value is not None:
            words += ["--set", f"{name}={value}"]
    return words
