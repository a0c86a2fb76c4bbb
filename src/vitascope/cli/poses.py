"""`vitascope poses`: where the joints of the people in a clip or picture are, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def poses(
    path: Annotated[Path, typer.Argument(help="A clip of somebody who moves, or a picture.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The pose file.")] = Path("poses.json"),
    weights: Annotated[
        str, typer.Option(help="DWPose's two ONNX files: a folder or hub id.")
    ] = "yzd-v/DWPose",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Find the poses of a clip for `generate --poses`, or of a picture for `--image-pose`, with DWPose."""
    from vitascope.atomic import check_writable
    from vitascope.bodies.dwpose import FILES, find_poses, load_dwpose
    from vitascope.cli.display import progress_bar
    from vitascope.cli.making import cancelled_by_signals
    from vitascope.clip import Clip
    from vitascope.context import Context
    from vitascope.engine.weights import local_files
    from vitascope.errors import InvalidMedia
    from vitascope.media import read, read_image
    from vitascope.media._pictures import picture_format
    from vitascope.settings import Settings

    check_writable(output)
    is_picture = path.is_file() and picture_format(path) not in (None, "GIF")
    clip = Clip(read_image(path).pixels[None], fps=1) if is_picture else read(path)  # type: ignore[arg-type]
    detector = load_dwpose(local_files(weights, FILES, offline=Settings.from_environment().offline))
    with progress_bar(quiet) as listen:
        context = Context(on_progress=listen)
        with cancelled_by_signals(context):
            found = find_poses(clip, detector, context)
    if not found.shows_somebody():
        raise InvalidMedia(f"{str(path)!r} shows nobody whose joints can be seen")
    found.write(output)
    people = [len(frame) for frame in found.frames]
    print(f"{output}: {found.num_frames} frames, {min(people)} to {max(people)} people, {found.fps:g} fps")
