"""The shelf of generators: one file a family, found by its name."""

from vitascope.generators.base import Generator
from vitascope.shelf import Shelf

GENERATORS: Shelf[Generator] = Shelf("vitascope.generators", Generator, "generator")

__all__ = ["GENERATORS", "Generator"]
