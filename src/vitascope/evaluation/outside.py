"""Clips that were made outside Vitascope, as one more algorithm of a run."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple, Self

from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.runs import SuiteRun
from vitascope.evaluation.suites import Item
from vitascope.media import VIDEO_SUFFIXES, read
from vitascope.metrics import AnalysedClip

SUFFIXES = frozenset({*VIDEO_SUFFIXES, ".gif", ".webp"})
_NAMED = "name them ITEM.mp4, or as VBench does PROMPT-SEED.mp4"


class OutsideClips(NamedTuple):
    """A folder with one clip for each item of a suite, and the name that they take part under."""

    name: str
    folder: Path

    @classmethod
    def parse(cls, text: str) -> Self:
        """From NAME=FOLDER. Raises: RequestError."""
        name, equals, folder = text.partition("=")
        if not name.strip() or not equals or not folder:
            raise RequestError(f"{text!r} is not NAME=FOLDER, such as my-model=clips/", param="clips")
        return cls(name.strip(), Path(folder))

    def adopt(self, run: SuiteRun) -> list[MadeClip]:
        """Copy the clips into the run; one that is damaged is written down as failed, with its reason.

        Raises: NotFound, RequestError if clips and prompts do not go together, naming those that are over.
        """
        found = self._matched(run.suite.items)
        run.begin()
        return [self._one(run, item, path) for item, path in found]

    def _matched(self, items: tuple[Item, ...]) -> list[tuple[Item, Path]]:
        if not self.folder.is_dir():
            raise NotFound(f"no folder {str(self.folder)!r} with the clips of {self.name!r}")
        files = {path.stem: path for path in sorted(self.folder.iterdir()) if path.suffix.lower() in SUFFIXES}
        if not files:
            raise NotFound(f"{str(self.folder)!r} holds no clip; {_NAMED}")
        names = {item.id: (item.id, f"{item.prompt}-{item.seed}", item.prompt) for item in items}
        found = {item.id: next((files[n] for n in names[item.id] if n in files), None) for item in items}
        missing = [f"no clip for {item.id}" for item in items if found[item.id] is None]
        over = sorted(files.keys() - {path.stem for path in found.values() if path})
        if missing or over:
            over = [f"no item for {name!r}" for name in over]
            few = "; ".join([*missing[:3], *over[:3]])
            rest = len(missing) + len(over) - min(3, len(missing)) - min(3, len(over))
            raise RequestError(
                f"{self.name!r} has {len(files)} clips for {len(items)} prompts: {few}"
                f"{f' and {rest} more' if rest else ''}; {_NAMED}",
                param="clips",
            )
        return [(item, path) for item in items if (path := found[item.id]) is not None]

    def _one(self, run: SuiteRun, item: Item, path: Path) -> MadeClip:
        content = hashlib.sha256(path.read_bytes()).hexdigest()[:24]
        made = MadeClip(algorithm=self.name, item=item.id, chain="", recipe_hash=content)
        target = run.folder / "clips" / f"{content}{path.suffix.lower()}"
        made = made.model_copy(update={"path": target.relative_to(run.folder).as_posix()})
        before = next((c for c in run.made() if (c.algorithm, c.item) == (self.name, item.id)), None)
        if before == made and target.is_file():
            return made
        if before is not None and before.recipe_hash != content:
            raise RequestError(
                f"{str(run.folder)!r} holds another clip of {self.name!r} for {item.id!r}; choose another folder"
            )
        try:
            # To the end: a file that is cut short is no clip.
            AnalysedClip.of(read(path)).frame_statistics  # noqa: B018
        except InvalidMedia as error:
            made = made.model_copy(update={"path": None, "failed": str(error)})
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        run.results.put(made)
        return made
