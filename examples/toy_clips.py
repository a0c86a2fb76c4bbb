"""Draw the clips of the two fine-tuning examples: python examples/toy_clips.py

They are in the repository already (examples/style/clips, examples/character/clips); this is how they came about.
"""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

from vitascope.clip import Clip
from vitascope.toyworld.lessons import Shown, character_lesson, style_lesson
from vitascope.toyworld.renderer import FPS

HERE = Path(__file__).parent


def write(shown: list[Shown], folder: Path, digits: int) -> None:
    """One file a clip and captions.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("file", "caption"))
        for number, one in enumerate(shown):
            name = f"{number:0{digits}d}.mp4"
            Clip(one.clip.numpy(), Fraction(FPS)).save(folder / name)
            rows.writerow((name, one.caption))


for example, lesson, digits in (("style", style_lesson, 3), ("character", character_lesson, 2)):
    taught, kept = lesson()
    write(taught, HERE / example / "clips" / "taught", digits)
    write(kept, HERE / example / "clips" / "kept", digits)
    print(f"{example}: {len(taught)} + {len(kept)} clips")
