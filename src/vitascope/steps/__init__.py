"""The shelf of steps: what happens before and after a generation, one file each."""

from vitascope.shelf import Shelf
from vitascope.steps.base import Note, Step

STEPS: Shelf[Step] = Shelf("vitascope.steps", Step, "step")

__all__ = ["STEPS", "Note", "Step"]
