"""Trajectories as data: the paths that things in a clip shall follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from vitascope.errors import InvalidMedia, NotFound, RequestError, invalid_value

Point = tuple[FiniteFloat, FiniteFloat]
Track = Annotated[tuple[Point, ...], Field(min_length=1)]
MAX_FILE_BYTES = 2**20


class Trajectories(BaseModel):
    """Drawn paths, each a list of points from the clip's first moment to its last.

    Shape: paths[i][j] = (x, y). Range: fractions 0..1 of width and height.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[Track, ...] = Field(min_length=1)

    @classmethod
    def of(cls, said: Any) -> Trajectories:
        """Paths from whoever may name files here: a file, a list of files, or what `stated` takes.

        Raises: RequestError, NotFound, InvalidMedia.
        """
        if isinstance(said, str | Path):
            return cls.read(said)
        if isinstance(said, list | tuple) and said and all(isinstance(file, str | Path) for file in said):
            return cls.joined([cls.read(file) for file in said])
        return cls.stated(said)

    @classmethod
    def stated(cls, said: Any) -> Trajectories:
        """Paths said as data: such a record, {"paths": ...}, a list of paths, one path, or JSON of these.

        Reads no file. Units: points are fractions. Raises: RequestError.
        """
        if isinstance(said, cls):
            return said
        try:
            data = json.loads(said) if isinstance(said, str) else said
            return cls.model_validate(data if isinstance(data, dict) else {"paths": _as_paths(data)})
        except ValidationError as error:
            raise invalid_value(error, "trajectories") from error
        except (ValueError, RecursionError) as error:
            raise RequestError(
                f"trajectories={said[:40]!r} is no JSON, such as [[[0.1, 0.5], [0.9, 0.5]]]",
                param="trajectories",
            ) from error

    @classmethod
    def joined(cls, several: Sequence[Trajectories]) -> Trajectories:
        """All paths of several records, in order."""
        return cls(paths=tuple(path for one in several for path in one.paths))

    @classmethod
    def read(cls, path: str | Path, width: int = 256, height: int = 256) -> Trajectories:
        """Read a trajectory file: our JSON, or pixels as a JSON list or in Tora's text form (a line "x, y" a point).

        Units: our JSON, {"paths": [[[x, y], ...], ...]}, has fractions; lists and text have pixels of a canvas,
        256 x 256 unless said otherwise. Raises: NotFound, InvalidMedia.
        Source: Tora (Zhang et al., arXiv:2407.21705), alibaba/Tora at 9a23dce, Apache-2.0: `sat/trajs`.
        """
        path = Path(path)
        if not path.is_file():
            raise NotFound(f"no trajectory file at {str(path)!r}", param="trajectories")
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
            text = path.read_text(encoding="utf-8-sig")
            if text.lstrip().startswith("{"):
                return cls.model_validate_json(text)
            pixels = cls.model_validate({"paths": _pixels_in(text)})
            return cls(paths=tuple(tuple((x / width, y / height) for x, y in line) for line in pixels.paths))
        except ValidationError as error:
            reason = str(invalid_value(error, "trajectories"))
            raise InvalidMedia(f"{str(path)!r} is not a trajectory file: {reason}") from error
        except (ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidMedia(f"{str(path)!r} is not a trajectory file: {reason}") from error


def _pixels_in(text: str) -> Any:
    """The paths of a file of pixels: JSON, a JSON list a line, or a point a line with a blank one after each path.

    Raises: ValueError.
    """
    if not text.strip():
        raise ValueError("it is empty")
    if not text.lstrip().startswith("["):
        lines = enumerate((line.strip() for line in text.splitlines()), 1)
        paths = [list(group) for blank, group in groupby(lines, lambda line: not line[1]) if not blank]
        return [[_point(*line) for line in path] for path in paths]
    try:
        said = json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line.strip().rstrip(",")) for line in text.splitlines() if line.strip()]
    return _as_paths(said)


def _as_paths(said: Any) -> Any:
    """Lists of paths as they are; one path as the only one of a list."""
    first = said[0] if isinstance(said, list | tuple) and said else None
    is_one_path = (
        isinstance(first, list | tuple) and len(first) > 0 and not isinstance(first[0], list | tuple)
    )
    return [said] if is_one_path else said


def _point(number: int, line: str) -> tuple[float, ...]:
    try:
        x, y = (float(part) for part in line.split(","))
    except ValueError as error:
        raise ValueError(f"line {number} is {line[:40]!r}, not a point such as 120,194") from error
    return x, y
