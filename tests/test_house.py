"""The rules of the house, checked: floors, sizes, names, docstrings, speed of the front door."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vitascope

SOURCE = Path(vitascope.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

FLOORS = [
    {"errors", "recipe", "clip", "task", "poses", "tracks", "atomic", "settings", "context", "shelf"},
    {"media", "models", "faces", "bodies", "mattes", "flow", "toyworld", "language", "labels"},
    {"engine"},
    {"generators", "steps", "metrics"},
    {"workflows", "training"},
    {"catalogue", "evaluation", "jobs"},
    {"server", "cli"},
]
SHELVES = {"generators", "steps", "metrics"}
# One lazy import upwards is allowed, because users expect `clip.save(...)`.
DOORS_UPWARDS = {("clip", "media")}
LONGER_FILES: dict[str, str] = {}  # file -> why it may have more than 400 lines


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def floor_of(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "vitascope" and len(parts) > 1 and not parts[1].startswith("_"):
                rooms.add(parts[1])
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_floors_below(path):
    room = room_of(path)
    if room == "__init__" or room == "__main__":
        return
    for other in imported_rooms(path) - {room}:
        if (room, other) in DOORS_UPWARDS or other not in {name for floor in FLOORS for name in floor}:
            continue
        assert floor_of(other) <= floor_of(room), f"{room} (floor {floor_of(room)}) imports {other}"
        assert not (room in SHELVES and other in SHELVES), f"shelf {room} imports its sibling {other}"


def test_every_room_stands_on_a_floor():
    rooms = {room_of(path) for path in FILES} - {"__init__", "__main__"}
    assert rooms <= {name for floor in FLOORS for name in floor}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_file_can_be_held_in_the_head(path):
    name = str(path.relative_to(SOURCE))
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400 or name in LONGER_FILES, f"{name} has {lines} lines: split it by idea"
    assert path.stem not in {"utils", "util", "helpers", "misc", "manager", "core", "common"}


def public_definitions(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    member
                    for member in node.body
                    if isinstance(member, ast.FunctionDef)
                    and not member.name.startswith("_")
                    and not any(isinstance(d, ast.Name) and d.id == "property" for d in member.decorator_list)
                )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_names_are_documented(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name != "__init__.py" or tree.body:
        assert ast.get_docstring(tree), f"{path.name} has no docstring"
    missing = [node.name for node in public_definitions(tree) if not ast.get_docstring(node)]
    assert not missing, f"no docstring: {', '.join(missing)}"


def test_vocabulary_imports_no_torch():
    modules = ", ".join(f"vitascope.{name}" for name in sorted(FLOORS[0]))
    code = f"import sys, {modules}; print([m for m in ('torch', 'diffusers', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listing_the_shelves_imports_no_torch():
    code = (
        "import sys\n"
        "from vitascope.generators import GENERATORS\n"
        "from vitascope.steps import STEPS\n"
        "from vitascope.metrics import METRICS\n"
        "[item.summary() for shelf in (GENERATORS, STEPS, METRICS) for item in shelf]\n"
        "print('torch' in sys.modules, 'diffusers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
