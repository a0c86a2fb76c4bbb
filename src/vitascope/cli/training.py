"""What `vitascope train` does once its flags are parsed."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from pydantic import BaseModel

from vitascope.cli.display import print_json, print_table, progress_bar
from vitascope.cli.making import cancelled_by_signals
from vitascope.context import Context
from vitascope.training.recipe import DataSource, Recipe


def train_recipe(recipe: Recipe, *, fresh: bool, as_json: bool, quiet: bool) -> None:
    """Train and say what came out; Ctrl-C saves and stops.

    Raises: RequestError, ResourceError, RunError, JobCancelled.
    """
    from vitascope.training.finetune import run

    first = os.environ.get("RANK", "0") == "0"
    with progress_bar(quiet or not first) as listen:
        context = Context(on_progress=listen)
        with cancelled_by_signals(context):
            result = run(recipe, context, fresh=fresh, say=_say if first else lambda _: None)
    if not first:
        return
    for warning in context.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    left = f", {result.num_left_out} left out" if result.num_left_out else ""
    print(
        f"{result.lora}: {result.steps} steps on {result.num_clips} clips{left}, {result.step_s:.3g} s a step"
    )
    print(f"{result.comfyui}: the same for ComfyUI")
    for path in (result.card, *result.samples):
        print(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def check_recipe(recipe: Recipe) -> None:
    """Read the model's configuration and all captions; encode and train nothing.

    Raises: RequestError, ResourceError.
    """
    from vitascope.settings import Settings
    from vitascope.training.base_model import BaseModel as Base
    from vitascope.training.dataset import collect

    base = Base.find(recipe, Settings.from_environment())
    buckets = base.buckets(recipe)
    found = collect(recipe.data)
    sizes = ", ".join(f"{w}x{h} with {f} frames" for w, h, f in buckets)
    print(
        f"{recipe.name}: {len(found.samples)} clips for {recipe.model}, cut to {sizes}; {recipe.steps} steps"
    )
    for path, reason in found.left_out:
        print(f"left out {path}: {reason}")


def explain_recipe(recipe: Recipe) -> None:
    """Print every setting, its value in this recipe, and what it does."""
    print_table(("setting", "value", "meaning"), list(_rows("", recipe)))


def _rows(prefix: str, part: BaseModel) -> Any:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, tuple) and value and isinstance(value[0], DataSource):
            for i, source in enumerate(value):
                yield from _rows(f"{name}[{i}].", source)
        elif isinstance(value, BaseModel):
            yield from _rows(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", str(value), field.description or ""
