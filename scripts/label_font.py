"""Cut the font of the visible label out of Noto Sans CJK: `python scripts/label_font.py NotoSansCJK-Bold.ttc`.

The source is Debian's fonts-noto-cjk (SIL Open Font License 1.1); fontTools comes with the dev dependencies.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset, ttLib

GLYPHS = "AI人工智能生成合 "
TARGET = Path(__file__).parents[1] / "src/vitascope/labels/font/label.otf"
SIMPLIFIED_CHINESE = "Noto Sans CJK SC"


def main(source: str) -> None:
    """Write the subset, under a name of its own as the licence's authors ask for changed fonts."""
    collection = ttLib.TTCollection(source)
    font = next(f for f in collection.fonts if f["name"].getDebugName(1).startswith(SIMPLIFIED_CHINESE))
    options = subset.Options(
        layout_features=[], hinting=False, name_IDs=[0, 1, 2, 4, 6, 13, 14], notdef_outline=True
    )
    cutter = subset.Subsetter(options)
    cutter.populate(text=GLYPHS)
    cutter.subset(font)
    for number, name in ((1, "Vitascope Label"), (4, "Vitascope Label Bold"), (6, "VitascopeLabel-Bold")):
        font["name"].setName(name, number, 3, 1, 0x409)
    font.save(TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
