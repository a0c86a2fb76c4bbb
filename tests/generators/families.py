"""The tiny models of all families on diffusers: the `FAMILIES` of every `tiny_*.py` beside this file."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import tests.generators
from tests.generators.family import Family

FAMILIES: list[Family] = [
    family
    for info in pkgutil.iter_modules(tests.generators.__path__)
    if info.name.startswith("tiny_")
    for family in getattr(import_module(f"tests.generators.{info.name}"), "FAMILIES", ())
]
