"""Videos and pictures in and out of files, and the geometry of frames. PyAV and Pillow live here only.

Names are looked up when first used, so that importing the room costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitascope.media._display import contact_sheet as contact_sheet
    from vitascope.media._display import thumbnail as thumbnail
    from vitascope.media._display import to_html as to_html
    from vitascope.media._lossless import read_lossless as read_lossless
    from vitascope.media._lossless import write_lossless as write_lossless
    from vitascope.media._pictures import read_image as read_image
    from vitascope.media._pictures import write_image as write_image
    from vitascope.media._reading import VIDEO_SUFFIXES as VIDEO_SUFFIXES
    from vitascope.media._reading import MediaInfo as MediaInfo
    from vitascope.media._reading import probe as probe
    from vitascope.media._reading import read as read
    from vitascope.media._tags import read_recipe as read_recipe
    from vitascope.media._writing import check_target as check_target
    from vitascope.media._writing import write as write
    from vitascope.media.frames import MappedFrames as MappedFrames

_HOMES = {
    "VIDEO_SUFFIXES": "_reading",
    "MappedFrames": "frames",
    "MediaInfo": "_reading",
    "check_target": "_writing",
    "contact_sheet": "_display",
    "probe": "_reading",
    "read": "_reading",
    "read_image": "_pictures",
    "read_lossless": "_lossless",
    "read_recipe": "_tags",
    "thumbnail": "_display",
    "to_html": "_display",
    "write": "_writing",
    "write_image": "_pictures",
    "write_lossless": "_lossless",
}

__all__ = [
    "VIDEO_SUFFIXES",
    "MappedFrames",
    "MediaInfo",
    "check_target",
    "contact_sheet",
    "probe",
    "read",
    "read_image",
    "read_lossless",
    "read_recipe",
    "thumbnail",
    "to_html",
    "write",
    "write_image",
    "write_lossless",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vitascope.media' has no attribute {name!r}")
    return getattr(import_module(f"vitascope.media.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
