"""`vitascope plan`: what a generation will take, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vitascope.engine.estimate import Estimate

_SAID_OTHERWISE = {
    "model": "the model is the first argument",
    "prompt": "its words cost nothing; leave it out",
    "image": "what it shows costs nothing; leave it out",
    "video": "what it shows costs nothing; leave it out",
}


def plan(
    model: Annotated[str, typer.Argument(help="Name or folder of a model, e.g. mochi-1.")],
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels, e.g. 848x480.")] = None,
    frames: Annotated[int | None, typer.Option(help="Number of frames.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    speed: Annotated[str | None, typer.Option(help="exact, balanced, turbo.")] = None,
    memory: Annotated[str | None, typer.Option(help="GPU memory to stay within, e.g. 24GiB.")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that share the clip.")] = None,
    on: Annotated[
        str | None, typer.Option(help="H100, H200 or cpu; default: this machine, else H100.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other knob: name=value.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Say what will be done and why, seconds and GiB: vitascope plan mochi-1 --frames 163 --gpus 2"""
    from vitascope.cli.display import print_json
    from vitascope.cli.making import merged, parse_knobs, parse_memory, parse_size
    from vitascope.workflows import plan as planning

    options: dict[str, Any] = {
        "num_frames": frames,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "speed": speed,
        "memory_gib": parse_memory(memory),
        "gpus": gpus,
        **parse_size(size),
    }
    given = merged(options, parse_knobs(set_ or []), _SAID_OTHERWISE)
    asked = planning.order_of_any_clip(model, **given)
    planning.architecture_of(asked.generator)
    task = asked.generator.complete(asked.task)
    gpu = planning.planned_gpu(on, asked.placement.device)
    made = planning.plan(asked.generator, task, asked.placement, gpu)
    if json_:
        summed = {"total_s": made.total_s, "peak_gib": made.peak_gib, "fits": made.fits}
        print_json({**made.model_dump(mode="json"), **summed})
        return
    for line in said(
        model, made, (task.width or 0, task.height or 0, task.num_frames or 0), _steps(asked), on
    ):
        print(line)


def _steps(asked: Any) -> int:
    generator = asked.generator
    return int(generator.filled_in(generator.profile()).num_inference_steps)


def said(model: str, made: Estimate, size: tuple[int, int, int], steps: int, on: str | None) -> list[str]:
    """A plan as lines of text."""
    width, height, frames = size
    many = "" if made.layout.world == 1 else f"{made.layout.world} x "
    on_cpu = made.room_gib is None
    clip = f"{frames} frame{'s' * (frames > 1)} of {width}x{height}"
    assumed = "" if on or on_cpu or _is_here() else " (this machine has no GPU: planned for an H100)"
    context = "" if on_cpu else f"   with {made.context_gib:g} of CUDA's own, of {made.room_gib:.1f}"
    return [
        f"{model}: {clip}, {steps} steps, on {many}{made.device}{assumed}",
        f"  {made.num_tokens} visual tokens; a step is {made.step_flop / 1e15:.3g} PFLOP",
        "how",
        *(f"  {line}" for line in made.because),
        "seconds (modules loaded, blocks compiled before; writing the file comes on top)",
        *_seconds(made, steps),
        "GiB of main memory" if on_cpu else "GiB a GPU",
        *(f"  {part:<10}{gib:8.1f}" for part, gib in made.gib.items()),
        f"  {'at most':<10}{made.peak_gib:8.1f}{context}",
    ]


def _seconds(made: Estimate, steps: int) -> list[str]:
    if made.seconds is None or made.seconds_per_step is None:
        return ["  not predicted"]
    computed = made.num_computed_steps
    notes = {
        "denoise": f"{computed} steps of {made.seconds_per_step:.3g} s"
        + ("" if computed == steps else f", {steps - computed} extrapolated"),
        "pixels": "to 8 bits in main memory",
    }
    said = {part: "?" if value is None else f"{value:.1f}" for part, value in made.seconds.items()}
    rows = [f"  {part:<10}{value:>8}   {notes.get(part, '')}".rstrip() for part, value in said.items()]
    together = "?" if made.total_s is None else f"{made.total_s:.1f}"
    return [
        *rows,
        f"  {'together':<10}{together:>8}" + ("" if made.total_s else "   what is ? was not measured so"),
    ]


def _is_here() -> bool:
    import torch

    return torch.cuda.is_available()
