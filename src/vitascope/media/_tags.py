"""A clip's recipe inside the metadata of its file."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError

from vitascope.errors import InvalidMedia, NotFound
from vitascope.media._containers import opened
from vitascope.media._pictures import explained, open_picture, picture_format
from vitascope.recipe import Recipe

RECIPE_TAG = "vitascope_recipe"
FPS_TAG = "vitascope_fps"
RECIPE_FILE = "recipe.json"
FOLDER_FILE = "clip.json"

Tags = dict[str, str]


def tags_for(recipe: Recipe, fps: Fraction) -> Tags:
    """What is written into a file's metadata. `fps` is for formats that keep no rate, or a rounded one."""
    return {RECIPE_TAG: recipe.model_dump_json(), FPS_TAG: str(fps)}


def tags_of(path: Path) -> Tags:
    """The tags that Vitascope wrote into a file or folder of pictures, empty if it is not ours.

    Raises: NotFound, InvalidMedia.
    """
    if not path.exists():
        raise NotFound(f"no file or folder at {str(path)!r}")
    if path.is_dir():
        return _tags_of_folder(path)
    if picture_format(path) is None:
        with opened(path) as container:
            return ours(container.metadata)
    with open_picture(path) as picture, explained(path):
        if picture.format == "GIF":
            return parse_comment(picture.info.get("comment", b""))
        return ours({str(key): value for key, value in picture.info.items() if isinstance(value, str)})


def ours(metadata: dict[str, str]) -> Tags:
    """Our tags among a container's; some containers write the names in capitals."""
    lowered = {key.lower(): value for key, value in metadata.items()}
    return {key: lowered[key] for key in (RECIPE_TAG, FPS_TAG) if key in lowered}


def as_comment(tags: Tags) -> bytes:
    """The tags as the one comment that a GIF has."""
    return json.dumps(tags, ensure_ascii=False).encode()


def parse_comment(comment: bytes | str) -> Tags:
    """Our tags out of a GIF's comment; empty if somebody else wrote it."""
    text = comment.decode(errors="replace") if isinstance(comment, bytes) else comment
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    return ours({key: value for key, value in parsed.items() if isinstance(value, str)})


def _tags_of_folder(folder: Path) -> Tags:
    tags = {}
    if (folder / RECIPE_FILE).is_file():
        tags[RECIPE_TAG] = (folder / RECIPE_FILE).read_text(encoding="utf-8", errors="replace")
    if (folder / FOLDER_FILE).is_file():
        try:
            tags[FPS_TAG] = str(json.loads((folder / FOLDER_FILE).read_bytes())["fps"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidMedia(
                f"{str(folder / FOLDER_FILE)!r} is damaged; remove it or write it anew"
            ) from error
    return tags


def recipe_in(tags: Tags, path: Path) -> Recipe | None:
    """The recipe among a file's tags, or None. Raises: InvalidMedia if there is one that cannot be read."""
    if RECIPE_TAG not in tags:
        return None
    try:
        return Recipe.model_validate_json(tags[RECIPE_TAG])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidMedia(f"the recipe in {str(path)!r} cannot be read ({where} {first['msg']})") from error


def fps_in(tags: Tags, path: Path) -> Fraction | None:
    """The rate among a file's tags, or None. Raises: InvalidMedia for one that is no rate."""
    if FPS_TAG not in tags:
        return None
    try:
        fps = Fraction(tags[FPS_TAG])
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if not 0 < fps <= 1000:
        raise InvalidMedia(f"{str(path)!r} says that it has {tags[FPS_TAG][:40]!r} frames a second")
    return fps


def read_recipe(path: str | Path) -> Recipe | None:
    """The recipe of a file that Vitascope made, or None if it carries none.

    Raises: NotFound, InvalidMedia for a file that cannot be read, or a recipe that cannot.
    """
    path = Path(path)
    return recipe_in(tags_of(path), path)
