"""`vitascope generate`: a sentence, a picture or a clip becomes a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vitascope.cli.run import Label

_SAID_OTHERWISE = {
    "model": "say it with --model; for files that several generators run, --model GENERATOR --set weights=PATH",
    "seed": "say it with --seed",
    "prompt": "the prompt is the first argument",
}


def generate(
    prompt: Annotated[str, typer.Argument(help="What the clip shall show.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="mp4, webm, gif, png or a folder/.")] = Path(
        "clip.mp4"
    ),
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Name, hub id, folder or file; sprout, or sprout-i2v for a picture."
        ),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Start from this picture.")] = None,
    video: Annotated[Path | None, typer.Option(help="Start from this clip.")] = None,
    trajectory: Annotated[
        list[Path] | None,
        typer.Option(help="File with the path of a thing (JSON, or a line x,y a point); may be repeated."),
    ] = None,
    poses: Annotated[
        Path | None, typer.Option(help="With --image: its person moves as this pose file says.")
    ] = None,
    image_pose: Annotated[
        Path | None, typer.Option(help="With --poses: how the person stands in the picture (a pose file).")
    ] = None,
    strength: Annotated[float | None, typer.Option(help="With --video: 0 keeps it, 1 forgets it.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels, e.g. 720x480.")] = None,
    frames: Annotated[int | None, typer.Option(help="Number of frames.")] = None,
    fps: Annotated[str | None, typer.Option(help="Frames a second, e.g. 8 or 30000/1001.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same machine: same frames.")] = 0,
    negative: Annotated[str, typer.Option(help="What the clip shall not show.")] = "",
    lora: Annotated[list[str] | None, typer.Option(help="LoRA file, or file:0.8; may be repeated.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Scheduler, e.g. ddim, dpm.")] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="Clips, with seeds seed, seed+1, ...")
    ] = 1,
    batch: Annotated[bool, typer.Option(help="Make them in one batch (the last bits may differ).")] = False,
    label: Label = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, float16.")] = None,
    speed: Annotated[
        str | None, typer.Option(help="exact, balanced (8-bit arithmetic), turbo (skips steps).")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="GPU memory to stay within, e.g. 24GiB.")] = None,
    offload: Annotated[str | None, typer.Option(help="none, model, sequential.")] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="GPUs that share each clip; how is derived (see: plan).")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other knob: name=value.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Make a clip: vitascope generate "a red ball bounces over green grass" -o ball.mp4"""
    from vitascope.cli.making import make_clips, merged, parse_knobs, parse_memory, parse_size

    options: dict[str, Any] = {
        "image": image,
        "video": video,
        "trajectories": trajectory or None,
        "poses": poses,
        "image_pose": image_pose,
        "strength": strength,
        "num_frames": frames,
        "fps": fps,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "negative_prompt": negative or None,
        "loras": tuple(lora) if lora else None,
        "scheduler": scheduler,
        "device": device,
        "dtype": dtype,
        "speed": speed,
        "memory_gib": parse_memory(memory),
        "offload": offload,
        "gpus": gpus,
        **parse_size(size),
    }
    given = merged(options, parse_knobs(set_ or []), _SAID_OTHERWISE)
    seeds = range(seed, seed + count)
    make_clips(
        prompt, model, given, seeds, output, label=label, batch=batch, as_json=json_, quiet=quiet or json_
    )
