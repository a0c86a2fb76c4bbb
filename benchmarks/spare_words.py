"""Whether the model in the box knows its spare words: `python benchmarks/spare_words.py MODEL_DIR --out FILE.json`.

Held-out prompts with the words that stand for looks and for people (`vitascope.toyworld.spare_words`), and with the
free words `style0` to `style7`, which stand for nothing. 16 steps, guidance 4, one fixed seed each. The judges have no
learned weights. Chance is what the same clips score against the words of others.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXPipeline

from conditions import conditions
from vitascope.toyworld.captions import caption
from vitascope.toyworld.clothes import read_clothes
from vitascope.toyworld.looks import LOOKS, LookReader
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.spare_words import FREE, TAUGHT_LOOKS, people, scene_with, word_of
from vitascope.training.embedded.export import generate
from vitascope.training.embedded.sheets import contact_sheet


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=2, help="prompts of each word")
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--sheet", type=Path, help="also save a picture: the first clip of every look")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = CogVideoXPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    said = [p.prompt for p in held_out_prompts()[:200]]
    rng = random.Random(21)
    reader = LookReader({n: LOOKS[n] for n in ("plain", "blueprint")} | TAUGHT_LOOKS)

    looks = [name for name in TAUGHT_LOOKS for _ in range(arguments.each)]
    asked = [f"{word_of(name)}, {said[(7 * i) % 200]}" for i, name in enumerate(looks)]
    clips = generate(pipe, asked, 16, 4.0, batch=arguments.batch)
    seen = [reader.look(clip) for clip in clips]
    other = looks[arguments.each :] + looks[: arguments.each]

    named = [(name, scene_with(name, rng)) for name in people() for _ in range(arguments.each)]
    calls = [caption(s, ("en", "zh")[i % 2], rng, True, name) for i, (name, s) in enumerate(named)]
    worn = [read_clothes(clip) for clip in generate(pipe, calls, 16, 4.0, batch=arguments.batch)]
    right = [(s.actors[0].colour, s.actors[0].trousers) for _, s in named]

    free = [f"style{i % FREE}, {said[(11 * i) % 200]}" for i in range(5 * FREE)]
    unbound = [reader.look(clip) for clip in generate(pipe, free, 16, 4.0, batch=arguments.batch)]

    def share(a: list[Any], b: list[Any]) -> float:
        return round(sum(x == y for x, y in zip(a, b, strict=True)) / len(a), 4)

    strangers = right[arguments.each :] + right[: arguments.each]
    result = {
        **conditions(device, "diffusers"),
        "looks": share(seen, looks),
        "looks_by_chance": share(seen, other),
        "looks_read_as": {
            n: dict(Counter(s for s, w in zip(seen, looks, strict=True) if w == n)) for n in TAUGHT_LOOKS
        },
        "clothes_of_people": share([tuple(w) for w in worn], right),
        "shirts_of_people": share([w.shirt for w in worn], [r[0] for r in right]),
        "clothes_by_chance": share([tuple(w) for w in worn], strangers),
        "free_words_read_as": dict(Counter(unbound)),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    if arguments.sheet:
        contact_sheet(list(clips[:: arguments.each]), arguments.sheet, columns=4)


if __name__ == "__main__":
    main()
