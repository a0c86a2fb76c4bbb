"""Train Sprout: `python -m vitascope.training.embedded STAGE --out DIR --minutes 9`.

Stages: `autoencoder` (then its encoder stays as it is), `denoiser` (as many runs as wanted, each going on
where the last one stopped), `export` (writes the diffusers folder). With several GPUs start it with
`torchrun --nproc-per-node N -m vitascope.training.embedded ...`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from vitascope.training.embedded.autoencoder import AutoencoderRecipe, measure_psnr, train_autoencoder
from vitascope.training.embedded.data import Source, as_input, clips_of, new_workers
from vitascope.training.embedded.sheets import contact_sheet
from vitascope.training.loop import Budget, Ranks

_SMOKE_VAE = AutoencoderRecipe(size=32, crop=16, crop_batch=4, whole_batch=2, pool=8)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vitascope.training.embedded", description=__doc__)
    parser.add_argument("stage", choices=("autoencoder", "denoiser", "export"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the weights")
    parser.add_argument("--minutes", type=float, default=9.0, help="training time of this run")
    parser.add_argument("--final", action="store_true", help="let the learning rate fall to zero in this run")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to try the whole thing out")
    return parser.parse_args()


def _autoencoder(arguments: argparse.Namespace) -> None:
    begun = time.monotonic()
    workers = None if arguments.smoke else new_workers()
    ranks = Ranks.join()
    recipe = _SMOKE_VAE if arguments.smoke else AutoencoderRecipe()
    budget = Budget(seconds=60 * arguments.minutes, steps=12 if arguments.smoke else 2**31, log_every=0 if arguments.smoke else 5)
    vae = train_autoencoder(recipe, budget, ranks, workers, arguments.out / "autoencoder.pt")
    if ranks.rank == 0:
        batch = next(Source(991, 8 if arguments.smoke else 96, "held_out").batches(1))
        clips, _ = clips_of(batch, ranks.device, recipe.size, slice(None))
        print("held-out psnr", measure_psnr(vae, clips), "seconds", round(time.monotonic() - begun))  # noqa: T201
        with torch.no_grad():
            made = [vae.decode(vae.encode(as_input(c[None])).latent_dist.mode()).sample[0] for c in clips[:16]]
        pairs = [p for c, m in zip(clips[:16], made, strict=False) for p in (c, ((m.permute(1, 2, 3, 0).float() + 1) * 127.5).clamp(0, 255).byte())]
        contact_sheet(pairs, arguments.out / "autoencoder.png")
        vae.to(torch.float16).save_pretrained(arguments.out / "vae")


def main() -> None:
    """Run one stage."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if arguments.stage == "autoencoder":
        _autoencoder(arguments)


if __name__ == "__main__":
    main()
