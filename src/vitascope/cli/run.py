"""`vitascope run` and `vitascope apply`: workflows, and single steps on files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Label = Annotated[
    str | None, typer.Option(help="cn, c2pa, cn,c2pa or none: how it says that it was generated.")
]
Output = Annotated[Path, typer.Option("-o", "--output", help="mp4, webm, gif, png or a folder/.")]


def run(
    workflow: Annotated[
        str, typer.Argument(help="A built-in workflow's name, a YAML file, or a clip: what made it, again.")
    ],
    prompt: Annotated[str | None, typer.Argument(help="What the clip shall show.")] = None,
    output: Output = Path("clip.mp4"),
    image: Annotated[Path | None, typer.Option(help="Start from this picture.")] = None,
    video: Annotated[Path | None, typer.Option(help="Treat this clip, or make it anew.")] = None,
    trajectory: Annotated[
        list[Path] | None, typer.Option(help="File with the path of a thing; may be repeated.")
    ] = None,
    poses: Annotated[Path | None, typer.Option(help="With --image: its person moves so.")] = None,
    image_pose: Annotated[Path | None, typer.Option(help="With --poses: how it stands there.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same machine: same frames.")] = None,
    negative: Annotated[str, typer.Option(help="What the clip shall not show.")] = "",
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels.")] = None,
    frames: Annotated[int | None, typer.Option(help="Number of frames.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="step.parameter=value, or a switch such as attention=sdpa; may be repeated."
        ),
    ] = None,
    label: Label = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    speed: Annotated[str | None, typer.Option(help="exact, balanced, turbo.")] = None,
    memory: Annotated[str | None, typer.Option(help="GPU memory to stay within, e.g. 24GiB.")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that share each clip.")] = None,
    keep: Annotated[bool, typer.Option(help="Print where each stage's clip is kept.")] = False,
    fresh: Annotated[bool, typer.Option(help="Make every stage again, even those kept.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Run a workflow: vitascope run text-to-video-plus "a star" --set interpolate.factor=4"""
    from vitascope.cli.making import merged, parse_knobs, parse_memory, parse_size
    from vitascope.cli.working import run_workflow

    options = {
        "negative_prompt": negative or None,
        "num_frames": frames,
        "poses": poses,
        "image_pose": image_pose,
        "device": device,
        "speed": speed,
        "memory_gib": parse_memory(memory),
        "gpus": gpus,
        "seed": seed,
        "trajectories": trajectory or None,
        **parse_size(size),
    }
    knobs = parse_knobs(set_ or [])
    merged(options, knobs)  # sees that nothing is said twice
    run_workflow(
        workflow,
        prompt,
        {"image": image, "video": video},
        {name: value for name, value in options.items() if value is not None},
        knobs,
        output,
        label,
        keep=keep,
        fresh=fresh,
        as_json=json_,
        quiet=quiet or json_,
    )


def apply(
    context: typer.Context,
    step: Annotated[str, typer.Argument(help="A step's name: see `vitascope list steps`.")],
    path: Annotated[Path, typer.Argument(help="The clip to treat.")],
    output: Output = Path("clip.mp4"),
    label: Label = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Treat a file with one step; its parameters are flags: vitascope apply interpolate in.mp4 --factor 4"""
    from vitascope.cli.working import apply_step, flags_to_knobs

    apply_step(
        step, flags_to_knobs(context.args), path, output, label, device, as_json=json_, quiet=quiet or json_
    )
