"""The shelf of generators: one file a family, found by its name."""

from vitascope.generators.base import Generator, KnownModel
from vitascope.shelf import Shelf

GENERATORS: Shelf[Generator] = Shelf("vitascope.generators", Generator, "generator")

from vitascope.generators._models import for_model, is_here, known_models  # noqa: E402  (they walk the shelf)

__all__ = ["GENERATORS", "Generator", "KnownModel", "for_model", "is_here", "known_models"]
