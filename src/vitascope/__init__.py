"""Vitascope: an open workbench for AI video generation.

::

    import vitascope

    clip = vitascope.generate("a red ball bounces over green grass")
    clip.save("ball.mp4")

Names are looked up when first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vitascope.clip import Audio as Audio
    from vitascope.clip import Clip as Clip
    from vitascope.clip import Image as Image
    from vitascope.context import Context as Context
    from vitascope.engine.engine import Engine as Engine
    from vitascope.engine.placement import Placement as Placement
    from vitascope.media import read as read
    from vitascope.media import read_image as read_image
    from vitascope.recipe import Recipe as Recipe
    from vitascope.workflows import Chain as Chain
    from vitascope.workflows.generate import generate as generate

_HOMES = {
    "Audio": "vitascope.clip",
    "Chain": "vitascope.workflows",
    "Clip": "vitascope.clip",
    "Context": "vitascope.context",
    "Engine": "vitascope.engine.engine",
    "Image": "vitascope.clip",
    "Placement": "vitascope.engine.placement",
    "Recipe": "vitascope.recipe",
    "generate": "vitascope.workflows.generate",
    "read": "vitascope.media",
    "read_image": "vitascope.media",
}

__all__ = [
    "Audio",
    "Chain",
    "Clip",
    "Context",
    "Engine",
    "Image",
    "Placement",
    "Recipe",
    "__version__",
    "generate",
    "read",
    "read_image",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vitascope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
