"""A workflow: a named chain, read from a YAML file that a reader can open and copy.

::

    summary: A sentence is written out, made into a clip, and its motion is smoothed.
    steps:
      - expand-prompt            # steps above `generate` go around it
      - generate: {model: sprout}
      - interpolate:             # steps below it come after it
          factor: 4
      - workflow: other          # the steps of another workflow, in place
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.engine.placement import Placement
from vitascope.errors import NotFound, RequestError, UnknownName
from vitascope.generators import Generator, for_model
from vitascope.steps import STEPS, Step
from vitascope.task import Task
from vitascope.workflows.chain import Chain
from vitascope.workflows.document import Located, read_yaml

BUILT_IN = Path(__file__).parent
GENERATE = "generate"
INCLUDE = "workflow"


@dataclass(frozen=True)
class Entry:
    """One line of a workflow: the id that `--set` uses, what stands there, its knobs, and its place."""

    id: str
    name: str
    knobs: dict[str, Any]
    place: Located


@dataclass(frozen=True)
class Workflow:
    """A named chain and where it was read, line by line."""

    name: str
    summary: str
    chain: Chain
    path: Path
    ids: tuple[str, ...]
    places: tuple[Located, ...]

    def check(self, task: Task) -> None:
        """Look at the whole chain before anything is queued or loaded.

        Raises: RequestError with the file and the line of the step that cannot take the task.
        """
        chain, generator = self.chain, self.chain.generator
        if generator is None:
            raise RequestError(f"workflow {self.name!r} treats a clip: give it one instead of a task")
        around = [step.fitted_to(generator).check for step in chain.around]
        checks = [*around, generator.check_kind, *(step.check for step in chain.after)]
        for check, place in zip(checks, self.places, strict=True):
            try:
                check(task)
            except RequestError as error:
                raise place.complain(str(error), error.param) from error
        try:
            chain.check(task)
        except RequestError as error:
            if error.param != "kind":  # a number of the task's, which no line of the file says
                raise
            raise self.places[len(around)].complain(str(error), error.param) from error


def names() -> list[str]:
    """The built-in workflows."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


def find(name: str) -> Path:
    """The file of a built-in workflow, or the file that `name` names. Raises: UnknownName, NotFound."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise NotFound(f"no workflow file at {name!r}")
        return path
    path = BUILT_IN / f"{name}.yaml"
    if not path.is_file():
        raise UnknownName("workflow", name, names())
    return path


def load(name: str, settings: Mapping[str, Any] | None = None) -> Workflow:
    """Read a workflow by name or file, with `settings` such as {"interpolate.factor": 4} put in.

    Raises: UnknownName, NotFound, RequestError naming the file, the line and what is allowed there.
    """
    path = find(name)
    document = read_yaml(path)
    head = document.mapping("a workflow", {"summary", "steps"})
    if "steps" not in head:
        raise document.complain("a workflow needs `steps`, a list")
    entries = _numbered(_entries(document, (path.resolve(),)))
    changed = _with_settings(entries, settings or {}, path)
    summary = head["summary"].text("`summary`") if "summary" in head else ""
    return _workflow(changed, path, summary)


def of_recipe(
    lines: Sequence[tuple[str, Mapping[str, Any]]], path: Path, settings: Mapping[str, Any] | None = None
) -> Workflow:
    """The workflow that a recipe's lines spell, with `settings` put in as `load` does. Raises: as `load`."""
    entries = _numbered(
        [Entry(name, name, dict(knobs), Located(None, str(path), 0)) for name, knobs in lines]
    )
    changed = _with_settings(entries, settings or {}, path)
    return _workflow(changed, path, f"what made {path.name}")


def _workflow(entries: list[Entry], path: Path, summary: str) -> Workflow:
    ids, places = tuple(entry.id for entry in entries), tuple(entry.place for entry in entries)
    return Workflow(path.stem, summary, _chain(entries, path), path, ids, places)


def _entries(document: Located, above: tuple[Path, ...]) -> list[Entry]:
    found: list[Entry] = []
    for item in document.mapping("a workflow", {"summary", "steps"})["steps"].sequence("`steps`"):
        name, knobs = _name_and_knobs(item)
        if name == INCLUDE:
            found += _included(knobs.text("the name of a workflow"), item, above)
        elif name == GENERATE or name in STEPS.names():
            plain = {key: value.plain() for key, value in knobs.mapping(f"the parameters of {name}").items()}
            found.append(Entry(name, name, plain, item))
        else:
            known = [GENERATE, INCLUDE, *STEPS.names()]
            raise _complaint(item, UnknownName("step", name, known))
    return found


def _name_and_knobs(item: Located) -> tuple[str, Located]:
    if isinstance(item.value, str):
        return item.value, Located({}, item.file, item.line)
    mapping = item.mapping("a step")
    if len(mapping) != 1:
        raise item.complain(f"a step is one name with its parameters below it, not {len(mapping)} names")
    ((name, knobs),) = mapping.items()
    return name, Located({}, item.file, item.line) if knobs.value is None else knobs


def _included(name: str, item: Located, above: tuple[Path, ...]) -> list[Entry]:
    beside = Path(item.file).parent / name
    try:
        path = beside if beside.is_file() else find(name)
    except RequestError as error:
        raise _complaint(item, error) from error
    if path.resolve() in above:
        raise item.complain(
            f"workflow {name!r} contains itself: {' -> '.join(p.stem for p in above)} -> {path.stem}"
        )
    document = read_yaml(path)
    if "steps" not in document.mapping("a workflow", {"summary", "steps"}):
        raise document.complain("a workflow needs `steps`, a list")
    return _entries(document, (*above, path.resolve()))


def _numbered(entries: list[Entry]) -> list[Entry]:
    """The second `reverse` becomes `reverse-2`, so that `--set` can name it."""
    seen: dict[str, int] = {}
    numbered = []
    for entry in entries:
        seen[entry.name] = seen.get(entry.name, 0) + 1
        suffix = "" if seen[entry.name] == 1 else f"-{seen[entry.name]}"
        numbered.append(Entry(entry.name + suffix, entry.name, entry.knobs, entry.place))
    return numbered


def _model_knobs(entries: list[Entry]) -> set[str]:
    """What may be set of the model that generates."""
    return {
        knob for entry in entries if entry.name == GENERATE for knob in type(_generator(entry)).model_fields
    }


def _with_settings(entries: list[Entry], settings: Mapping[str, Any], path: Path) -> list[Entry]:
    changes: dict[str, dict[str, Any]] = {}
    for dotted, value in settings.items():
        owner, dot, knob = dotted.partition(".")
        if not dot:
            of = (
                f"; for a knob of the model say {GENERATE}.{dotted}"
                if dotted in _model_knobs(entries)
                else ""
            )
            raise RequestError(
                f"--set {dotted!r} is neither step.parameter=value nor a switch{of}", param=dotted
            )
        if owner not in {entry.id for entry in entries}:
            raise UnknownName(f"step of {path.stem}", owner, [entry.id for entry in entries], param=dotted)
        changes.setdefault(owner, {})[knob.replace("-", "_")] = value
    return [_changed(entry, changes.get(entry.id, {})) for entry in entries]


def _changed(entry: Entry, knobs: Mapping[str, Any]) -> Entry:
    instead_of = {} if entry.name == GENERATE else STEPS[entry.name].instead_of
    displaced = {instead_of[name] for name in knobs.keys() & instead_of.keys() if knobs[name] is not None}
    kept = {name: value for name, value in entry.knobs.items() if name not in displaced}
    return Entry(entry.id, entry.name, {**kept, **knobs}, entry.place)


def _chain(entries: list[Entry], path: Path) -> Chain:
    generators = [index for index, entry in enumerate(entries) if entry.name == GENERATE]
    if len(generators) > 1:
        raise entries[generators[1]].place.complain("a workflow generates once; here is a second `generate`")
    at = generators[0] if generators else 0
    after = entries[at + 1 :] if generators else entries
    if not entries:
        raise RequestError(f"{path}: the workflow has no steps")
    return Chain(
        around=tuple(_step(entry) for entry in entries[:at]),
        generator=_generator(entries[at]) if generators else None,
        after=tuple(_step(entry) for entry in after),
    )


def _step(entry: Entry) -> Step:
    try:
        return STEPS[entry.name].with_knobs(**entry.knobs)
    except RequestError as error:
        raise _complaint(entry.place, error) from error


def _generator(entry: Entry) -> Generator:
    knobs = dict(entry.knobs)
    try:
        return for_model(str(knobs.pop("model", "sprout")), **knobs)
    except RequestError as error:
        raise _complaint(entry.place, error) from error


def _complaint(place: Located, error: RequestError) -> RequestError:
    """An error with its file and line, and all that may stand there where a name was wrong."""
    said = str(error)
    if isinstance(error, UnknownName) and error.name in Placement.model_fields:
        said = (
            f"{error.name} says where and how all of the workflow runs; say --set {error.name}=VALUE with it"
        )
    elif isinstance(error, UnknownName) and "known:" not in said:
        said += f" allowed: {', '.join(error.known)}"
    return place.complain(said)
