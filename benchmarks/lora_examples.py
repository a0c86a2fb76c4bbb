"""What the two fine-tuning examples learnt, on prompts that were never trained on.

`python benchmarks/lora_examples.py --style STYLE.safetensors --character CHARACTER.safetensors --out DIR`

Each prompt is made four times from the same noise: with and without the LoRA, with and without the trigger word. The
LoRA is loaded by plain diffusers. Judges have no learned weights (`vitascope.toyworld.lessons`). Rendered truth is
judged too. The sheets show the first prompts: base left, LoRA right.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import vitascope_embedded
from diffusers import CogVideoXPipeline
from torch import Tensor

from vitascope.toyworld import lessons
from vitascope.toyworld.looks import render_in
from vitascope.toyworld.renderer import render
from vitascope.training.embedded.export import generate
from vitascope.training.embedded.sheets import contact_sheet

STEPS, GUIDANCE = 16, 4.0
Judge = Callable[[Tensor, list[lessons.Question]], list[lessons.Verdict]]


def measure(
    pipe: Any,
    file: Path,
    asked: list[lessons.Question],
    truth: Callable[[], Tensor],
    judge: Judge,
    arguments: argparse.Namespace,
) -> tuple[dict[str, list[lessons.Verdict]], dict[str, Tensor]]:
    """Judge the four conditions and the rendered truth, or those of them that were asked for."""
    made: dict[str, Tensor] = {}
    prompts = {
        "with trigger": [q.prompt for q in asked],
        "without trigger": [q.without_trigger for q in asked],
    }
    if "base" in arguments.parts:
        for name, said in prompts.items():
            made[f"base, {name}"] = generate(pipe, said, STEPS, GUIDANCE, batch=arguments.batch)
    if "lora" in arguments.parts:
        pipe.load_lora_weights(str(file), adapter_name="taught")
        pipe.set_adapters(["taught"], [arguments.weight])
        for name, said in prompts.items():
            made[f"LoRA, {name}"] = generate(pipe, said, STEPS, GUIDANCE, batch=arguments.batch)
        pipe.unload_lora_weights()
    if "truth" in arguments.parts:
        made["rendered truth"] = truth()
    return {name: judge(clips, asked) for name, clips in made.items()}, made


def motions_missed(verdicts: list[lessons.Verdict], asked: list[lessons.Question]) -> dict[str, str]:
    """Of each motion that was not always followed, how many of how many."""
    counts: dict[str, list[bool]] = defaultdict(list)
    for verdict, question in zip(verdicts, asked, strict=True):
        if "motion" in verdict:
            counts[question.scene.actors[0].motion].append(verdict["motion"])
    return {motion: f"{each.count(False)} of {len(each)}" for motion, each in counts.items() if not all(each)}


def main() -> None:
    """Measure what is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--character", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=40, help="prompts of each example")
    parser.add_argument("--weight", type=float, default=1.0, help="of the LoRA")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--parts", nargs="+", default=["base", "lora", "truth"], help="what is judged")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = CogVideoXPipeline.from_pretrained(vitascope_embedded.path("sprout"), dtype=torch.float32)
    pipe.to(device).set_progress_bar_config(disable=True)
    where = torch.cuda.get_device_name(0) if device == "cuda" else "CPU"
    found: dict[str, Any] = {
        "steps": STEPS,
        "guidance_scale": GUIDANCE,
        "device": where,
        "torch": torch.__version__,
    }
    style, character = lessons.style_questions(arguments.count), lessons.character_questions(arguments.count)
    work: tuple[tuple[str, Path | None, list[lessons.Question], Callable[[], Tensor], Judge], ...] = (
        (
            "style",
            arguments.style,
            style,
            lambda: render_in(lessons.LOOK, [q.scene for q in style]),
            lessons.judge_style,
        ),
        (
            "character",
            arguments.character,
            character,
            lambda: render([q.scene for q in character]),
            lessons.judge_character,
        ),
    )
    for name, file, asked, truth, judge in work:
        if file is None:
            continue
        begun = time.monotonic()
        verdicts, made = measure(pipe, file, asked, truth, judge, arguments)
        rows = {who: lessons.shares(each) for who, each in verdicts.items()}
        found[name] = {
            "prompts": len(asked),
            "rows": rows,
            "motion not followed": {who: motions_missed(each, asked) for who, each in verdicts.items()},
            "seconds": round(time.monotonic() - begun, 1),
        }
        print(name, json.dumps(rows, indent=1), flush=True)
        for number, trigger in enumerate(("with trigger", "without trigger")):
            shown = [made[f"{who}, {trigger}"][:6] for who in ("base", "LoRA") if f"{who}, {trigger}" in made]
            if shown:
                both = [clip for clips in shown for clip in clips]
                contact_sheet(both, arguments.out / f"{name}-{number}.png", columns=len(shown))
        (arguments.out / "lora-examples.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
