"""Training: fine-tuning by recipe, and the loop that the embedded models' own training uses too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitascope.training.finetune import Result as Result
    from vitascope.training.finetune import run as run
    from vitascope.training.recipe import Recipe as Recipe
    from vitascope.training.recipe import read_recipe as read_recipe

__all__ = ["Recipe", "Result", "read_recipe", "run"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in ("Recipe", "read_recipe"):
        return getattr(import_module("vitascope.training.recipe"), name)
    if name in ("Result", "run"):
        return getattr(import_module("vitascope.training.finetune"), name)
    raise AttributeError(f"module 'vitascope.training' has no attribute {name!r}")
