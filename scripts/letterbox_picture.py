"""Make docs/images/letterbox.png: one wide picture made into a clip with the step letterbox, and without it.

`python scripts/letterbox_picture.py`. The picture, 1000x430, is drawn by the toy world; the clips are Sprout's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

import vitascope
from vitascope.clip import Clip, Image
from vitascope.generators import for_model
from vitascope.steps.letterbox import Letterbox
from vitascope.task import ImageToVideo
from vitascope.toyworld.renderer import render
from vitascope.toyworld.scenes import Actor, Scene

PROMPT = "a small red car drives to the right in the desert"
SHOWN = (0, 4, 8, 12, 16)
ZOOM, MARGIN, LINE = 2, 10, 22


def wide_picture() -> Image:
    """A car at its left end, in the middle of its height; a square cut from its middle does not show it."""
    frames = render([Scene("desert", (Actor("car", "red", "right", size="small"),))], size=1000)[0]
    moves = (frames[0] - frames[-1]).abs().sum(-1) > 0.2
    top = int(moves.any(1).nonzero().float().mean()) - 215
    return Image(np.asarray((frames[0, top : top + 430] * 255).round().byte()))


def row(clip: Clip) -> NDArray[np.uint8]:
    """Some frames of a clip side by side, enlarged."""
    frames = [clip.frames[at : at + 1][0].repeat(ZOOM, 0).repeat(ZOOM, 1) for at in SHOWN]
    gap = np.full((frames[0].shape[0], MARGIN, 3), 255, np.uint8)
    return np.concatenate([piece for frame in frames for piece in (frame, gap)], 1)


def main() -> None:
    """Make both clips, put them under the picture, and save the sheet and the picture."""
    picture = wide_picture()
    task = ImageToVideo(prompt=PROMPT, image=picture)
    engine, context = vitascope.Engine(), vitascope.Context()
    generator = for_model("sprout-i2v")
    clips = [
        vitascope.Chain(around=around, generator=generator).run(task, engine, context)
        for around in ((Letterbox(),), ())
    ]
    rows = [
        (f"the picture, {picture.width}x{picture.height}", picture.pixels),
        *(
            (f"{name}, {c.width}x{c.height}", row(c))
            for name, c in zip(("with letterbox", "without"), clips, strict=True)
        ),
    ]
    height = sum(pixels.shape[0] + LINE + MARGIN for _, pixels in rows)
    sheet = Pillow.new("RGB", (max(pixels.shape[1] for _, pixels in rows) + MARGIN, height), "white")
    drawing, y = ImageDraw.Draw(sheet), 0
    for words, pixels in rows:
        drawing.text((MARGIN, y + 4), words, fill="black", font_size=14)
        sheet.paste(Pillow.fromarray(pixels), (MARGIN, y + LINE))
        y += pixels.shape[0] + LINE + MARGIN
    sheet.save(Path("docs/images/letterbox.png"), optimize=True)
    print(*(f"{c.width}x{c.height}" for c in clips), context.warnings)


if __name__ == "__main__":
    main()
