"""`vitascope lora`: look into LoRA files, merge and convert them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Look into LoRA files, melt them into a model, write them in other names."
)
File = Annotated[str, typer.Argument(help="LoRA file, or a folder with pytorch_lora_weights.safetensors.")]


@app.command()
def info(
    file: File,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Also say which keys match this model.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what a LoRA file holds, and whether it fits a model."""
    from vitascope.cli.display import print_json, print_table
    from vitascope.engine.lora import LoraFile
    from vitascope.engine.lora_files import look_into

    lora = LoraFile.parse(file)
    found = look_into(lora).model_dump(mode="json")
    if model is not None:
        found |= _match(lora, model)
    if json_:
        print_json(found)
        return
    rows = [(name, _said(value)) for name, value in found.items() if value not in ([], {}, None)]
    print_table(("", ""), rows)


def _said(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {v}" for k, v in value.items())
    return ", ".join(str(v) for v in value) if isinstance(value, list) else str(value)


def _match(lora: object, model: str) -> dict[str, object]:
    from vitascope.cli.lora_models import empty_denoiser
    from vitascope.engine.lora import LoraFile, matched_layers

    assert isinstance(lora, LoraFile)
    layers = matched_layers(lora.path, empty_denoiser(model))
    return {"matched_layers": len(layers.modules), "unmatched_keys": layers.unmatched[:20]}


@app.command()
def merge(
    files: Annotated[list[str], typer.Argument(help="LoRA files, each with a weight: FILE or FILE:0.8.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The model that they change.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="New folder for the whole model.")],
) -> None:
    """Write a model with LoRAs melted in; it loads like any folder and runs as fast as without them."""
    from vitascope.cli.lora_models import denoiser_pipeline
    from vitascope.context import Context
    from vitascope.engine.lora import LoraFile
    from vitascope.engine.lora_files import merge as melt

    context = Context()
    loras = [LoraFile.parse(file) for file in files]
    folder, pipeline, component = denoiser_pipeline(model)
    report = melt(folder, pipeline, component, loras, output, context)
    for warning in context.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for row in report:
        print(f"{row['file']} at {row['weight']:g}: {row['num_layers']} layers")
    print(f"{output}: run it with --model {output}")


@app.command()
def convert(
    file: File,
    output: Annotated[Path, typer.Option("-o", "--output", help="New file, .safetensors.")],
    to: Annotated[str, typer.Option(help="diffusers, comfyui or peft.")] = "diffusers",
    any_base: Annotated[
        bool, typer.Option("--any-base", help="Leave out the note of the model that it was trained on.")
    ] = False,
) -> None:
    """Write a LoRA in the names that another program reads; what it does stays the same."""
    from vitascope.engine.lora import LoraFile
    from vitascope.engine.lora_files import LAYOUTS
    from vitascope.engine.lora_files import convert as rename
    from vitascope.errors import UnknownName

    if to not in LAYOUTS:
        raise UnknownName("layout", to, LAYOUTS, param="to")
    print(rename(LoraFile.parse(file), output, to, any_base))  # type: ignore[arg-type]
