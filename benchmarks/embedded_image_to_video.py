"""Measure Sprout image-to-video on held-out rendered pictures: is the picture kept, and does it move as asked?

`python benchmarks/embedded_image_to_video.py MODEL --out FILE.json`. MODEL is a folder saved by diffusers.
For each of 50 prompts that were never in training, the picture is the first frame of the rendered truth.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import CogVideoXImageToVideoPipeline
from numpy.typing import NDArray
from torch import Tensor

from conditions import conditions
from vitascope.toyworld.checkers import check
from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.renderer import render
from vitascope.toyworld.scenes import Scene
from vitascope.training.embedded.export import generate
from vitascope.training.embedded.sheets import contact_sheet


def _truth(scene: Scene) -> Tensor:
    return (render([scene])[0] * 255).round().byte()


def _verdict(job: tuple[NDArray[np.uint8], Scene]) -> dict[str, bool]:
    return check(*job)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Of each picture. Shape: bytes (B, H, W, 3). Units: dB."""
    error = (a.float() - b.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255**2 / error.clamp_min(1e-3))


def change(clips: Tensor) -> Tensor:
    """Mean distance of each clip's frames from its first. Units: grey levels."""
    return (clips[:, 1:].float() - clips[:, :1].float()).abs().mean(dim=(1, 2, 3, 4))


@torch.no_grad()
def round_trips(pipe: CogVideoXImageToVideoPipeline, pictures: Tensor) -> Tensor:
    """The pictures, encoded and decoded by the autoencoder, one at a time. Shape: bytes (B, H, W, 3)."""
    made = []
    for picture in pictures.to(pipe.device):
        inputs = picture.permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
        decoded = pipe.vae.decode(pipe.vae.encode(inputs).latent_dist.mode()).sample[0, :, 0]
        made.append(((decoded.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().cpu())
    return torch.stack(made)


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=4.0)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--sheet", type=Path, help="also save a picture of the first clips")
    arguments = parser.parse_args()
    objects = [p for p in held_out_prompts() if p.scene.actors[0].kind != "person"]
    prompts = objects[:: len(objects) // arguments.count][: arguments.count]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # many threads make the renderer, and everything beside it, far slower
    truth = torch.stack([_truth(p.scene) for p in prompts])
    torch.set_num_threads(threads)
    pipe = CogVideoXImageToVideoPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32)
    pipe.to(arguments.device).set_progress_bar_config(disable=True)
    texts, pictures = [p.prompt for p in prompts], truth[:, 0].to(arguments.device)
    clips = generate(pipe, texts, arguments.steps, arguments.guidance_scale, pictures=pictures)
    kept = psnr(clips[:, 0], round_trips(pipe, truth[:, 0]))
    moved, expected = change(clips), change(truth)
    with ProcessPoolExecutor(
        max(1, (os.cpu_count() or 2) - 2), get_context("spawn"), torch.set_num_threads, (1,)
    ) as workers:
        verdicts = list(
            workers.map(_verdict, [(c.numpy(), p.scene) for c, p in zip(clips, prompts, strict=True)])
        )
    result = {
        **conditions(arguments.device, "diffusers"),
        "settings": {
            "steps": arguments.steps,
            "guidance_scale": arguments.guidance_scale,
            "dtype": "float32",
        },
        "prompts": len(prompts),
        "first_frame_psnr_db": {"mean": round(float(kept.mean()), 2), "least": round(float(kept.min()), 2)},
        "change_over_truth": {
            "mean": round(float(moved.mean() / expected.mean()), 3),
            "least": round(float((moved / expected.clamp_min(1e-3)).min()), 3),
        },
        "accuracy": {
            name: round(float(np.mean([v[name] for v in verdicts])), 4) for name in sorted(verdicts[0])
        },
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=1))
    if arguments.sheet:
        pairs = [c for pair in zip(truth[:18], clips[:18], strict=True) for c in pair]
        contact_sheet(pairs, arguments.sheet, columns=3)


if __name__ == "__main__":
    main()
