"""Train the tiny SVD and its extension: `python -m vitascope.training.exvideo --out DIR`.

Three stages one after the other, each skipped if its result lies in DIR: the autoencoder, the denoiser of 25
frames, and ExVideo's extension of it. DIR/svd is then a folder for `vitascope generate --model`, and
DIR/extension.safetensors an `--extension` for it.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel

from vitascope.models.exvideo import save_extension
from vitascope.training.exvideo.recipe import Recipe, save, scenery, train_base, train_extension, train_vae
from vitascope.training.loop import Budget, Ranks

logger = logging.getLogger(__name__)
SMOKE = replace(Recipe(), num_scenes=4, vae_batch=8, batch=1, long_batch=1)


def main() -> None:
    """Run the stages that are not done yet."""
    parser = argparse.ArgumentParser(prog="python -m vitascope.training.exvideo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num-frames", type=int, default=64, help="length of the extension")
    parser.add_argument("--minutes", type=float, nargs=3, default=(1.0, 4.0, 2.0), help="of the three stages")
    parser.add_argument("--smoke", action="store_true", help="tiny amounts, to try the whole thing out")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    torch.set_float32_matmul_precision("high")
    arguments.out.mkdir(parents=True, exist_ok=True)
    ranks, recipe = Ranks.join(), SMOKE if arguments.smoke else Recipe()
    vae_s, base_s, extension_s = (
        Budget(seconds=60 * minutes, **({"steps": 2} if arguments.smoke else {}))
        for minutes in arguments.minutes
    )
    folder, extension = arguments.out / "svd", arguments.out / "extension.safetensors"
    if (folder / "vae" / "config.json").exists():
        vae = AutoencoderKLTemporalDecoder.from_pretrained(folder, subfolder="vae").to(ranks.device)
    else:
        vae = train_vae(recipe, vae_s, ranks)
        vae.save_pretrained(folder / "vae")
    scale, world = vae.config["scaling_factor"], scenery(recipe, vae, ranks)
    if (folder / "model_index.json").exists():
        base = UNetSpatioTemporalConditionModel.from_pretrained(folder, subfolder="unet").to(ranks.device)
    else:
        base = train_base(recipe, scale, world, base_s, ranks)
        save(folder, base, vae)
    if not extension.exists():
        extended = train_extension(recipe, scale, base, world, arguments.num_frames, extension_s, ranks)
        save_extension(extended, extension)


if __name__ == "__main__":
    main()
