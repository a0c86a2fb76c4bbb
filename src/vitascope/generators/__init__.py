"""The shelf of generators: one file a family, found by its name."""

from vitascope.generators.base import Generator, KnownModel
from vitascope.shelf import Shelf

GENERATORS: Shelf[Generator] = Shelf("vitascope.generators", Generator, "generator")

# After the shelf, which these walk or stand on.
from vitascope.generators._diffusers import DiffusersGenerator  # noqa: E402
from vitascope.generators._models import for_model, is_here, known_models, name_of_model  # noqa: E402
from vitascope.generators._one_at_a_time import OneAtATime  # noqa: E402
from vitascope.generators._profile import Profile  # noqa: E402

__all__ = [
    "GENERATORS",
    "DiffusersGenerator",
    "Generator",
    "KnownModel",
    "OneAtATime",
    "Profile",
    "for_model",
    "is_here",
    "known_models",
    "name_of_model",
]
