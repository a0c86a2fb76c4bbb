"""A clip's recipe inside the metadata of its file."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError

from vitascope.errors import InvalidMedia, NotFound
from vitascope.labels import metadata
from vitascope.media._containers import opened
from vitascope.media._pictures import explained, open_picture, picture_format
from vitascope.recipe import Recipe

RECIPE_TAG = "vitascope_recipe"
FPS_TAG = "vitascope_fps"
AIGC_TAG = metadata.TAG
GIF_HEAD_BYTES = 2**20  # more than recipes and packets take
RECIPE_FILE = "recipe.json"
FOLDER_FILE = "clip.json"

Tags = dict[str, str]


def tags_for(recipe: Recipe, fps: Fraction) -> Tags:
    """What is written into a file's metadata. `fps` is for formats that keep no rate, or a rounded one."""
    tags = {RECIPE_TAG: recipe.model_dump_json(), FPS_TAG: str(fps)}
    label = recipe.labels.aigc
    return tags if label is None else {**tags, AIGC_TAG: metadata.as_text(label)}


def tags_of(path: Path) -> Tags:
    """The tags that Vitascope wrote into a file or folder of pictures, and anybody's AIGC label.

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
            written = parse_comment(picture.info.get("comment", b""))
        else:
            written = ours({str(key): value for key, value in picture.info.items() if isinstance(value, str)})
        # Pillow leaves out a GIF's packet, which stands as it is before the first picture
        packet = _head(path) if picture.format == "GIF" else picture.info.get("xmp", b"")
        label = metadata.from_xmp(packet)
        return written if label is None else {**written, AIGC_TAG: label}


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(GIF_HEAD_BYTES)


def ours(found: dict[str, str]) -> Tags:
    """Our tags among a container's; some containers write the names in capitals."""
    lowered = {key.lower(): value for key, value in found.items()}
    return {key: lowered[key.lower()] for key in (RECIPE_TAG, FPS_TAG, AIGC_TAG) if key.lower() in lowered}


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
            about = json.loads((folder / FOLDER_FILE).read_bytes())
            tags[FPS_TAG] = str(about["fps"])
            if AIGC_TAG in about:
                tags[AIGC_TAG] = json.dumps(about[AIGC_TAG])
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


def labels_in(tags: Tags, recipe: Recipe) -> Recipe:
    """The recipe with the label that stands in the file's own metadata, whoever wrote it."""
    label = metadata.parse(tags.get(AIGC_TAG, ""))
    if label is None:
        return recipe
    return recipe.model_copy(update={"labels": recipe.labels.model_copy(update={"aigc": label})})


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
