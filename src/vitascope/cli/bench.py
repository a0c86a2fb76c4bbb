"""`vitascope bench`: ours against diffusers as it is, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def bench(
    model: Annotated[
        str, typer.Argument(help="mochi, cogvideox-5b, wan2.1-t2v-1.3b, hunyuan-video, ltx-video ...")
    ],
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Real size, random weights: nothing is downloaded.")
    ] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="FILE for FILE.json, .md and .png.")] = Path(
        "bench"
    ),
    clip: Annotated[
        list[str] | None,
        typer.Option(
            "--clip",
            help="Whole clips at this speed only (exact, balanced, turbo); may be repeated. Else turbo, exact and "
            "balanced, as far as there is time.",
        ),
    ] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels; else the model's own.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of the clip; else the model's own.")] = None,
    steps: Annotated[int, typer.Option(min=4, help="Denoising steps of a clip.")] = 50,
    rounds: Annotated[
        int, typer.Option(min=0, help="How often each takes a step in turn; 0: only whole clips.")
    ] = 2,
    memory: Annotated[
        str | None, typer.Option(help="GPU memory to stay within, e.g. 24GiB (whole clips).")
    ] = None,
    device: Annotated[str, typer.Option(help="cuda, cuda:1, or cpu with --tiny.")] = "auto",
    tiny: Annotated[
        bool, typer.Option("--tiny", help="A toy size of the same model, to try this command.")
    ] = False,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="What would take longer than this in all is left out, and said.")
    ] = 9.5,
) -> None:
    """Time a model here: steps and VAE decode of ours and of diffusers, alternating; then whole clips."""
    import sys
    import time
    from dataclasses import replace

    begun = time.time()
    from vitascope.atomic import check_writable
    from vitascope.cli.display import print_table
    from vitascope.cli.making import parse_memory, parse_size
    from vitascope.engine.placement import Placement
    from vitascope.errors import DependencyMissing, JobCancelled, RequestError, UnknownName
    from vitascope.evaluation.speed import report
    from vitascope.evaluation.speed.bench import Bench
    from vitascope.evaluation.speed.random_models import find
    from vitascope.evaluation.speed.records import BenchResult
    from vitascope.evaluation.speed.whole_clips import IN_TURN, WholeClips

    if not random_weights:
        raise RequestError(
            "bench times models with random weights, which cost the same time: add --random-weights",
            param="random_weights",
        )
    for speed in clip or ():
        if speed not in IN_TURN:
            raise UnknownName("speed", speed, IN_TURN, param="clip")
    found = find(model)
    if not found.pipeline:
        _check_steps_alone(model, clip, rounds, memory)
    asked: dict[str, Any] = parse_size(size) | ({} if frames is None else {"num_frames": frames})
    if asked and tiny:
        raise RequestError("--tiny has a size of its own; leave --size and --frames out", param="size")
    if not output.name:
        raise RequestError(
            f"-o {str(output)!r} names no file; give FILE for FILE.json, .md and .png", param="output"
        )
    check_writable(report.named(output, ".json"))
    placement = Placement(device=device, memory_gib=parse_memory(memory)).resolve()
    if memory is not None and tiny:
        _check_held_to(memory, placement.device)

    def keep(result: BenchResult) -> None:
        report.write(result, output)

    timing = Bench(
        replace(found, **asked),
        placement,
        steps,
        keep,
        begun + 60 * minutes,
        tiny,
    )
    try:
        if rounds:
            timing.time_parts(rounds)
        if found.pipeline:
            WholeClips(timing).time(clip or IN_TURN, output.parent)
        if rounds:
            timing.check_decode()
    except KeyboardInterrupt as stopped:
        if not timing.result.timings:
            raise
        timing.result.stopped = True
        timing.keep()
        raise JobCancelled(
            f"stopped; what was measured before is in {output}.json and {output}.md", kept=True
        ) from stopped
    timing.result.took_s["all"] = round(time.time() - begun, 1)
    timing.keep()
    print_table(*report.rows(timing.result))
    for note in report.notes(timing.result):
        print(note)
    written = [f"{output}.json", f"{output}.md"]
    try:
        written.append(str(report.plot(timing.result, output)))
    except DependencyMissing as error:
        print(f"no plot: {error}", file=sys.stderr)
    print(f"written: {', '.join(written)}")
    failed = [name for name, row in timing.result.timings.items() if row.failed]
    if failed:
        print(f"failed: {', '.join(failed)}; the reasons are in {output}.json", file=sys.stderr)
        raise typer.Exit(1)


def _check_held_to(memory: str, device: str) -> None:
    """Raises: RequestError for a limit that nothing would hold to."""
    from vitascope.errors import RequestError

    if not device.startswith("cuda"):
        raise RequestError(
            f"--memory {memory} has no effect on {device}: it is held to on GPUs alone; leave it out",
            param="memory",
        )


def _check_steps_alone(model: str, clip: list[str] | None, rounds: int, memory: str | None) -> None:
    """Refuse flags of whole clips for a model of which only steps and decodes are timed. Raises: RequestError."""
    from vitascope.errors import RequestError

    if clip:
        raise RequestError(
            f"whole clips of {model} are not timed, its text encoder is not drawn; leave --clip out",
            param="clip",
        )
    if not rounds:
        raise RequestError(f"--rounds 0 leaves nothing of {model} to time; leave it out", param="rounds")
    if memory is not None:
        raise RequestError(
            f"--memory is for whole clips, which of {model} are not timed; leave it out", param="memory"
        )
