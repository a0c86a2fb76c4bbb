"""Trajectories as data: the paths that things in a clip shall follow."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vitascope.errors import InvalidMedia, NotFound

Point = tuple[float, float]


class Trajectories(BaseModel):
    """Drawn paths, each a list of points from the clip's first moment to its last.

    Shape: paths[i][j] = (x, y). Range: fractions 0..1 of width and height.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[tuple[Point, ...], ...] = Field(min_length=1)

    @classmethod
    def read(cls, path: str | Path, width: int = 256, height: int = 256) -> Trajectories:
        """Read a trajectory file: our JSON, or Tora's text form (a list of [x, y] pixels a line).

        Units: Tora's points are pixels of a canvas, 256 x 256 unless said otherwise.
        Raises: NotFound, InvalidMedia.
        Source: Tora (Zhang et al., arXiv:2407.21705), alibaba/Tora, Apache-2.0: its sample trajectories.
        """
        path = Path(path)
        if not path.is_file():
            raise NotFound(f"no trajectory file at {str(path)!r}")
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            if text.lstrip().startswith("{"):
                return cls.model_validate_json(text)
            lines = [json.loads(line.strip().rstrip(",")) for line in text.splitlines() if line.strip()]
            return cls(paths=tuple(tuple((x / width, y / height) for x, y in line) for line in lines))
        except (ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidMedia(f"{str(path)!r} is not a trajectory file: {reason}") from error
