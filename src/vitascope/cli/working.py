"""What `vitascope run` and `vitascope apply` do once their flags are parsed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vitascope.cli.display import print_json, progress_bar
from vitascope.cli.making import cancelled_by_signals, parse_knobs, stopped_runs, written
from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import NotFound, RequestError, invalid_value
from vitascope.labels.policy import Labelling
from vitascope.media import check_target, read_image, read_recipe
from vitascope.recipe import Recipe
from vitascope.settings import Settings
from vitascope.steps import STEPS, Step
from vitascope.workflows import Chain, ClipStore, load
from vitascope.workflows.generate import clip_from, task_from
from vitascope.workflows.replay import Replay, replay
from vitascope.workflows.workflow import Workflow, names, of_recipe


def flags_to_knobs(arguments: Sequence[str]) -> dict[str, Any]:
    """`--factor 4 --method=dis --loop` as knobs; a flag without a value means true. Raises: RequestError."""
    pairs: list[str] = []
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--"):
            raise RequestError(f"{flag!r} is not a flag; write a step's parameter as --name value")
        name = flag.removeprefix("--")
        if "=" in name:
            pairs.append(name)
        elif rest and not rest[0].startswith("--"):
            pairs.append(f"{name}={rest.pop(0)}")
        else:
            pairs.append(f"{name}=true")
    return parse_knobs(pairs)


def run_workflow(
    name: str,
    prompt: str | None,
    inputs: dict[str, Any],
    options: dict[str, Any],
    settings: dict[str, Any],
    output: Path,
    label: str | None,
    **display: bool,
) -> None:
    """Run a workflow, or again what made the clip `name`, and write its clip.

    Raises: RequestError, ResourceError, RunError, JobCancelled.
    """
    check_target(output)
    Labelling.of(label, output)  # a wrong label is refused before anything is read
    # A step's parameter is said as step.parameter; a name alone is a switch of where and how all of it runs.
    where = {
        name: given.pop(name)
        for given in (settings, options)
        for name in Placement.model_fields
        if name in given
    }
    path = Path(name)
    if path.suffix not in ("", ".yaml", ".yml") and not path.exists():
        raise NotFound(f"no file {name!r}; give a workflow's name, a YAML file, or a clip")
    if name not in names() and path.exists() and path.suffix not in (".yaml", ".yml"):
        recipe = _recipe_in(path)
        label = recipe.labels.words if label is None else label
        made = replay(recipe)
        workflow = of_recipe(made.lines, path, settings)
        placement = _placed({**recipe.placement, **where})
        options = {**made.task, **({"prompt": prompt} if prompt else {}), **options}
        if not any(inputs.values()):
            inputs = {"image": made.image and _same_picture(made), "video": made.video}
    else:
        workflow, placement = load(name, settings), _placed(where)
        options = {"prompt": prompt or "", **options}
    _run(workflow, inputs, options, where, placement, output, Labelling.of(label, output), **display)


def _same_picture(made: Replay) -> Image:
    """The picture that a clip started from, with a word if another lies in its place by now."""
    assert made.image is not None, "asked where there is one"
    picture = read_image(made.image)
    if picture.sha256 != made.image_sha256:
        print(
            f"warning: {made.image!r} is not the picture any more that the clip started from", file=sys.stderr
        )
    return picture


def _run(
    workflow: Workflow,
    inputs: dict[str, Any],
    options: dict[str, Any],
    where: dict[str, Any],
    placement: Placement,
    output: Path,
    labelling: Labelling,
    **display: bool,
) -> None:
    """Check a workflow against its inputs and run it; `where`: the switches of `placement` that were given."""
    chain = workflow.chain
    if chain.generator is None:
        if inputs["video"] is None:
            raise RequestError(
                f"workflow {workflow.name!r} treats a clip: give it one with --video", param="video"
            )
        _check_steps_alone(workflow.name, where)
        clip = clip_from(inputs["video"])
        _work(lambda *lent: labelling.on(chain.run_after(clip, *lent)), placement, output, **display)
        return
    if "vae_slicing" in where:
        placement.check_together(num_clips=1)
    task = task_from(**inputs, **options)
    try:
        workflow.check(task)
    except RequestError as error:
        if error.param != "kind" or any(inputs.values()):
            raise
        raise RequestError(f"{error}; --image and --video give it a picture or a clip") from error
    _work(lambda *lent: labelling.on(chain.run(task, *lent)), placement, output, **display)


def _check_steps_alone(workflow: str, where: dict[str, Any]) -> None:
    """Steps without a generator go by the device alone. Raises: RequestError for another switch."""
    for name in where:
        if name != "device":
            raise RequestError(
                f"{name}={where[name]!r} has no effect on workflow {workflow!r}, which generates nothing; leave it out",
                param=name,
            )


def _placed(values: dict[str, Any]) -> Placement:
    try:
        return Placement(**values)
    except ValidationError as error:
        raise invalid_value(error, "placement") from error


def _recipe_in(path: Path) -> Recipe:
    """The recipe that a clip's file holds. Raises: NotFound, InvalidMedia, RequestError if it has none."""
    recipe = read_recipe(path)
    if recipe is None:
        raise RequestError(f"{str(path)!r} holds no recipe: Vitascope did not make it, or it was removed")
    return recipe


def apply_step(
    name: str,
    knobs: dict[str, Any],
    path: Path,
    output: Path,
    label: str | None,
    device: str | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Treat the clip of a file with one step. Raises: as `run_workflow`."""
    check_target(output)
    labelling = Labelling.of(label, output)
    step = STEPS[name].with_knobs(**knobs)
    if type(step).apply is Step.apply:
        raise RequestError(
            f"{name} works before a generation and does nothing to a clip that is there already"
        )
    chain = Chain(after=(step,))
    clip = clip_from(path)
    placement = Placement(device=device or "auto")
    display = {"keep": False, "fresh": False, "as_json": as_json, "quiet": quiet}
    _work(lambda *lent: labelling.on(chain.run_after(clip, *lent)), placement, output, **display)


def _work(
    run: Callable[[Engine, Context, ClipStore], Clip],
    placement: Placement,
    output: Path,
    *,
    keep: bool,
    fresh: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    settings = Settings.from_environment()
    store = ClipStore(settings.home / "clips", fresh=fresh, limit_gib=settings.keep_gib)
    with progress_bar(quiet) as listen:
        context = Context(
            on_progress=listen,
            settings=settings,
            checkpoints=None if fresh else stopped_runs(settings),
        )
        with cancelled_by_signals(context):
            clip = run(Engine(placement), context, store)
            row = written(clip, output)
    for warning in context.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print_json({**row, "kept": [str(path) for path in store.used]})
        return
    print(f"{row['path']}: {row['clip']}")
    if keep:
        for path in store.used:
            print(f"kept: {path}")
