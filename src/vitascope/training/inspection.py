"""What is wrong with a folder of clips before anyone trains on it, and a sheet to look at."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from vitascope.atomic import write_bytes
from vitascope.clip import Clip, Pixels
from vitascope.context import Context
from vitascope.errors import InvalidMedia, ResourceError
from vitascope.flow.likeness import is_cut
from vitascope.media import read
from vitascope.training.dataset import Bucket, bucket_for, captions_of, file_hash, media_files

DARK = 24.0
"""Mean brightness of 0..255 under which a clip is called dark."""
FLAT = 6.0
"""Standard deviation of brightness under which a clip shows next to nothing."""
ALIKE = 4
"""Of 64 bits of a picture's difference hash, how many may differ in a duplicate."""

Problem = Literal[
    "unreadable",
    "no caption",
    "too short",
    "small",
    "other shape",
    "dark",
    "flat",
    "still",
    "cuts",
    "duplicate",
]


class Finding(BaseModel):
    """One thing that is wrong with one clip. `fatal`: training leaves the clip out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    problem: Problem
    detail: str
    fatal: bool = False


class Entry(BaseModel):
    """One clip. Units: seconds; `cuts` are numbers of the frames that start a scene."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    caption: str | None
    num_frames: int
    width: int
    height: int
    duration_s: float
    bucket: tuple[int, int, int] | None
    cuts: tuple[int, ...] = ()


class Report(BaseModel):
    """All clips of a folder and what is wrong with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> int:
        """How many clips training would use."""
        fatal = {finding.file for finding in self.findings if finding.fatal}
        return len({entry.file for entry in self.entries} - fatal)


def inspect(
    folder: Path, buckets: Sequence[Bucket], context: Context, captions: Path | None = None
) -> tuple[Report, list[tuple[str, Pixels]]]:
    """Look through a folder; gives the report and a strip of three frames of each clip that can be read.

    Raises: NotFound, RequestError for an empty folder, JobCancelled.
    """
    files = media_files(folder)
    said = captions_of(folder, files, captions)
    entries, findings, strips = [], [], []
    hashes: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for number, path in enumerate(files):
        context.progress("check", number, len(files))
        name = path.relative_to(folder).as_posix()
        if path not in said:
            findings.append(Finding(file=name, problem="no caption", detail="no text for it", fatal=True))
        try:
            clip = read(path)
            entry, found, strip = _look_at(clip, name, buckets)
        except (InvalidMedia, ResourceError) as error:
            findings.append(Finding(file=name, problem="unreadable", detail=str(error), fatal=True))
            continue
        entries.append(entry.model_copy(update={"caption": said.get(path)}))
        findings += [*found, *_duplicates(name, file_hash(path), strip, hashes)]
        strips.append((name, strip))
    context.progress("check", len(files), len(files))
    return Report(folder=str(folder), entries=tuple(entries), findings=tuple(findings)), strips


def _look_at(clip: Clip, name: str, buckets: Sequence[Bucket]) -> tuple[Entry, list[Finding], Pixels]:
    """A clip's entry, what is wrong with it, and its first, middle and last frame side by side."""
    bucket = bucket_for(clip.num_frames, clip.width, clip.height, buckets)
    cuts, bright, spread, moved = _through(clip)
    found = [
        Finding(file=name, problem=problem, detail=detail, fatal=problem == "too short")
        for problem, detail in (
            *_misfits(clip, bucket, buckets),
            *_oddities(clip, cuts, bright, spread, moved),
        )
    ]
    places = (0, clip.num_frames // 2, clip.num_frames - 1)
    strip = np.concatenate([clip.frames[i : i + 1][0] for i in places], axis=1)
    entry = Entry(
        file=name,
        caption=None,
        num_frames=clip.num_frames,
        width=clip.width,
        height=clip.height,
        duration_s=round(clip.duration_s, 3),
        bucket=bucket,
        cuts=tuple(cuts),
    )
    return entry, found, strip


def _misfits(clip: Clip, bucket: Bucket | None, buckets: Sequence[Bucket]) -> Iterator[tuple[Problem, str]]:
    """What of a clip's size and length does not go with the sizes that are trained on."""
    if bucket is None:
        yield "too short", f"{clip.num_frames} frames, {min(b[2] for b in buckets)} are needed"
        return
    width, height, _ = bucket
    if clip.width < width or clip.height < height:
        yield "small", f"{clip.width}x{clip.height} is enlarged to {width}x{height}"
    shapes = clip.width / clip.height, width / height
    lost = 1 - min(shapes) / max(shapes)
    if lost > 0.2:
        yield "other shape", f"{lost:.0%} of {clip.width}x{clip.height} is cut off for {width}x{height}"


def _oddities(
    clip: Clip, cuts: Sequence[int], bright: float, spread: float, moved: int
) -> Iterator[tuple[Problem, str]]:
    """What of a clip's content makes it a doubtful example."""
    if bright < DARK:
        yield "dark", f"mean brightness {bright:.0f} of 255"
    elif spread < FLAT:
        yield "flat", f"brightness varies by {spread:.1f} of 255 alone"
    if clip.num_frames > 1 and moved == 0:
        yield "still", f"all {clip.num_frames} frames are the same"
    if cuts:
        yield (
            "cuts",
            f"{len(cuts)}, first at frame {cuts[0]}; 'vitascope dataset split' makes clips of scenes",
        )


def _through(clip: Clip) -> tuple[list[int], float, float, int]:
    """Cuts, mean brightness, mean spread of brightness, and how many frames differ from the one before."""
    cuts, light, spread, moved = [], [], [], 0
    before: Pixels | None = None
    for start, frames in clip.windows(64):
        for offset, frame in enumerate(frames):
            light.append(float(frame.mean()))
            spread.append(float(frame.mean(axis=2).std()))
            if before is not None:
                if not np.array_equal(before, frame):
                    moved += 1
                if is_cut(before, frame):
                    cuts.append(start + offset)
            before = frame
    return cuts, float(np.mean(light)), float(np.mean(spread)), moved


def _duplicates(
    name: str, content: str, strip: Pixels, hashes: dict[str, list[tuple[str, int]]]
) -> Iterator[Finding]:
    mine = _difference_hash(strip)
    for other, (theirs, bits) in ((o, pair) for o, pairs in hashes.items() for pair in pairs):
        if theirs == content or (mine ^ bits).bit_count() <= ALIKE:
            how = "the same file as" if theirs == content else "looks like"
            yield Finding(file=name, problem="duplicate", detail=f"{how} {other!r}")
            break
    hashes[name].append((content, mine))


def _difference_hash(strip: Pixels) -> int:
    """Bits of which neighbour is brighter, over the strip's first and last frames, colour by colour."""
    import cv2

    small = cv2.resize(strip, (25, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (np.diff(small, axis=1) > 2).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def sheet(
    strips: Sequence[tuple[str, Pixels]], path: Path, findings: Sequence[Finding], width: int = 360
) -> Path:
    """A picture of all clips: three frames each, name below, what is wrong in red. Raises: DiskFull."""
    import io

    from PIL import Image, ImageDraw

    columns = min(4, max(1, len(strips)))
    pictures = []
    for _, strip in strips:
        height = max(1, round(strip.shape[0] * width / strip.shape[1]))
        pictures.append(Image.fromarray(strip).resize((width, height)))
    tall = max((p.height for p in pictures), default=40) + 30
    canvas = Image.new("RGB", (columns * (width + 8), -(-len(pictures) // columns) * tall), "white")
    draw = ImageDraw.Draw(canvas)
    for i, ((name, _), picture) in enumerate(zip(strips, pictures, strict=True)):
        x, y = i % columns * (width + 8), i // columns * tall
        canvas.paste(picture, (x, y))
        draw.text((x + 2, y + picture.height + 1), name[-56:], fill="black")
        wrong = ", ".join(f.problem for f in findings if f.file == name)
        draw.text((x + 2, y + picture.height + 13), wrong[:56], fill="red")
    stream = io.BytesIO()
    canvas.save(stream, "PNG" if path.suffix.lower() == ".png" else "JPEG", quality=88)
    return write_bytes(path, stream.getvalue())


def split_scenes(folder: Path, output: Path, context: Context, least: int = 1) -> list[Path]:
    """Write each scene of each clip as a clip of its own, with its caption; scenes under `least` frames are left out.

    Raises: NotFound, RequestError, DiskFull, JobCancelled.
    """
    files = media_files(folder)
    said = captions_of(folder, files)
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for number, path in enumerate(files):
        context.progress("split", number, len(files))
        try:
            clip = read(path)
            cuts = _through(clip)[0]
        except (InvalidMedia, ResourceError) as error:
            context.warn(f"left out {path.name!r}: {error}")
            continue
        edges = [0, *cuts, clip.num_frames]
        scenes = [(a, b) for a, b in itertools.pairwise(edges) if b - a >= least]
        for part, (start, stop) in enumerate(scenes):
            target = output / (f"{path.stem}.mp4" if len(scenes) == 1 else f"{path.stem}-{part + 1:03d}.mp4")
            scene = clip.with_frames(clip.frames[start:stop], audio=None)
            written.append(scene.save(target))
            if path in said:
                write_bytes(target.with_suffix(".txt"), said[path].encode())
    context.progress("split", len(files), len(files))
    return written
