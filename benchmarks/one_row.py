"""Mochi's step with video and text tokens in one row beside one that joins them for attention, and diffusers'.

    python benchmarks/one_row.py -o RESULT.json --blocks 12

All compiled but diffusers', with exact attention, on the same random weights, in turns. `--blocks` takes the first
ones alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from conditions import conditions
from kernel_kinds import profiled
from vitascope.engine import attention, attention_processors
from vitascope.engine.compile import compile_blocks, keep_compiled_in
from vitascope.engine.denoisers import blocks_of
from vitascope.evaluation.speed import random_models
from vitascope.evaluation.speed.step_inputs import draw
from vitascope.settings import Settings

ON_GPU = torch.cuda.is_available()
TINY = bool(os.environ.get("TINY_MODELS"))


class Steps:
    """Networks on shared weights, and the time of their steps."""

    def __init__(self, name: str, num_blocks: int | None) -> None:
        model, device = random_models.find(name), "cuda" if ON_GPU else "cpu"
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            parts = model.build(TINY)
        torch.set_default_dtype(torch.float32)
        self.net = parts["transformer"].eval().requires_grad_(False)
        task = model.item(50).complete(model.task(TINY))
        latents = random_models.latent_shape(parts["vae"], task)
        width = model.text_width or self.net.config.text_embed_dim
        self.inputs = draw(self.net, latents, model.text_length, width, device)
        self.num_blocks = num_blocks
        self.nets: dict[str, Any] = {}
        self.rows: dict[str, Any] = {}

    def add(self, name: str, joint: attention.JointAttend | None) -> None:
        """One more network, warm."""
        net = random_models.sharing_weights(self.net)
        if self.num_blocks:
            net.transformer_blocks = net.transformer_blocks[: self.num_blocks]
        if joint is not None:
            attention_processors.install(net, joint)
            compile_blocks(blocks_of(net))
        self.nets[name] = net
        began = time.perf_counter()
        self.step(name)
        output = self.step(name).float()
        self.rows[name] = {"warm_up_s": round(time.perf_counter() - began, 1), "steps_s": []}
        if not hasattr(self, "expected"):
            self.expected = output
        self.rows[name]["relative_error"] = ((output - self.expected).norm() / self.expected.norm()).item()

    def step(self, name: str) -> torch.Tensor:
        """One step of one of them."""
        with torch.inference_mode():
            for _ in range(self.inputs.num_calls):
                output: torch.Tensor = self.nets[name](**self.inputs.arguments, return_dict=False)[0]
        if ON_GPU:
            torch.cuda.synchronize()
        return output

    def turn(self) -> None:
        """Two steps of each."""
        for name, row in self.rows.items():
            for _ in range(2):
                began = time.perf_counter()
                self.step(name)
                row["steps_s"].append(round(time.perf_counter() - began, 4))
            row["step_s"] = round(statistics.median(row["steps_s"]), 4)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--blocks", type=int, help="the first ones alone")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    keep_compiled_in(Settings.from_environment().home / "compiled")
    until = float(os.environ.get("DEADLINE", "inf")) - 12
    steps = Steps("mochi", given.blocks)
    row = attention.OneRow(attention.best_exact("cuda" if ON_GPU else "cpu"))
    ways: dict[str, Callable[..., Any] | None] = {
        "diffusers": None,
        "one row": row,
        "joined for attention": lambda *tokens: row(*tokens),
    }
    result = {
        **conditions("cuda" if ON_GPU else "cpu"),
        "model": "mochi",
        "blocks": given.blocks or "all",
        "rows": steps.rows,
    }
    for name, joint in ways.items():
        steps.add(name, joint)
    for _ in range(given.rounds):
        if time.time() < until:
            steps.turn()
            given.output.write_text(json.dumps(result, indent=1) + "\n")
    for name in steps.rows:
        if ON_GPU and time.time() < until:
            steps.rows[name]["kernels"] = profiled(lambda name=name: steps.step(name), 1)
            given.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result)[:1500])


if __name__ == "__main__":
    main()
