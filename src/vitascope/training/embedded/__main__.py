"""Train Sprout: `python -m vitascope.training.embedded STAGE --out DIR --minutes 9`.

Stages: `autoencoder` (then its encoder stays as it is), `denoiser` (as many runs as wanted, each going on
where the last one in DIR stopped, or from the folder `--start`; with `--image-to-video` the network that
goes on from a picture), `export` (writes the diffusers folder, with spare words that
fine-tuning can bind).
With several GPUs start it with `torchrun --nproc-per-node N -m vitascope.training.embedded ...`.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from vitascope.toyworld.prompts import held_out_prompts
from vitascope.toyworld.renderer import render
from vitascope.toyworld.scenes import Mixture
from vitascope.training.embedded.architecture import new_text_encoder, new_transformer, new_vae
from vitascope.training.embedded.autoencoder import AutoencoderRecipe, measure_psnr, train_autoencoder
from vitascope.training.embedded.data import Source, as_input, clips_of, new_workers
from vitascope.training.embedded.denoiser import DenoiserRecipe, averaged, train_denoiser
from vitascope.training.embedded.export import SproutPipeline, assemble, export, generate
from vitascope.training.embedded.sheets import contact_sheet
from vitascope.training.embedded.spare_words import place_spare_words
from vitascope.training.embedded.tokenizer import new_tokenizer
from vitascope.training.loop import Budget, Ranks

logger = logging.getLogger(__name__)

_SMOKE_VAE = AutoencoderRecipe(size=32, crop=16, crop_batch=4, whole_batch=2, pool=8)
_SMOKE_DENOISER = {
    "size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "batch": 8,
    "pool_chunks": 2,
    "chunk": 8,
    "hint_after": 1,
    "refresh_every": 4,
}

SHOWN = (
    "a red ball bounces over green grass",
    "一只蓝色的小鱼向左游",
    "a fat man in a red shirt waving in a room",
    "a yellow star spins in the night sky",
    "a green car drives to the right in the city",
    "a pink heart growing in the snow",
    "一个紫色的菱形在房间里绕圈",
    "an orange fish swims to the right underwater",
    "a white house on the grass, the camera zooms in",
    "一棵绿色的树在沙漠里摇摆",
    "a thin woman in yellow walking to the left in the city",
    "a boy in green jumping in the snow",
    "一个穿白色衣服的瘦男人在太空中跳舞",
    "a woman in blue doing jumping jacks on the beach",
    "a white rocket flies up in space",
    "a black cat runs to the left on a pink background",
    "一艘红色的帆船在海上向右航行",
    "a purple flower sways in the mountains",
    "a big blue ring falls down at sunset",
    "a red square on the left and a blue triangle spinning on the right on a white background",
    "一轮黄色的月亮在星空下上升",
    "a tiny orange square moves up and to the right on a grey background",
    "a girl in pink running to the right on the meadow",
    "一个胖女人穿着橙色上衣举起双手,在草地上",
)
"""What the picture after a run shows: prompts as people type them."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vitascope.training.embedded", description=__doc__)
    parser.add_argument("stage", choices=("autoencoder", "denoiser", "export"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the weights")
    parser.add_argument("--minutes", type=float, default=9.0, help="training time of this run")
    parser.add_argument("--start", type=Path, help="finished folder whose weights to go on from")
    parser.add_argument(
        "--decoder-only", action="store_true", help="refine the decoder of DIR/vae, keep its latents"
    )
    parser.add_argument("--seed", type=int, default=1, help="other clips for every run of the denoiser")
    parser.add_argument("--pairs", type=float, default=0.08, help="share of clips with two objects")
    parser.add_argument(
        "--moving-camera", type=float, default=0.08, help="share of clips with a moving camera"
    )
    parser.add_argument("--steps", type=int, default=20, help="denoising steps of the pictures")
    parser.add_argument("--guidance-scale", type=float, default=4.0)
    parser.add_argument(
        "--image-to-video", action="store_true", help="the network that reads the first frame too"
    )
    parser.add_argument("--lr", type=float, default=DenoiserRecipe.lr, help="learning rate of the denoiser")
    parser.add_argument("--final", action="store_true", help="let the learning rate fall to zero in this run")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to try the whole thing out")
    return parser.parse_args()


def _autoencoder(arguments: argparse.Namespace) -> None:
    begun = time.monotonic()
    workers = None if arguments.smoke else new_workers()
    ranks = Ranks.join()
    recipe = _SMOKE_VAE if arguments.smoke else AutoencoderRecipe()
    if arguments.decoder_only:
        recipe = replace(recipe, decoder_only=True, whole_from=-1.0, lr=1e-3, seed=arguments.seed)
    vae = train_autoencoder(recipe, _budget(arguments), ranks, workers, arguments.out / "autoencoder.pt")
    if ranks.rank == 0:
        batch = next(Source(991, 8 if arguments.smoke else 96, "held_out").batches(1))
        clips, _ = clips_of(batch, ranks.device, recipe.size, slice(None))
        seconds = round(time.monotonic() - begun)
        logger.info("held-out psnr %.2f dB after %d s", measure_psnr(vae, clips), seconds)
        with torch.no_grad():
            made = [
                vae.decode(vae.encode(as_input(c[None])).latent_dist.mode()).sample[0] for c in clips[:16]
            ]
        pairs = [
            p
            for c, m in zip(clips[:16], made, strict=False)
            for p in (c, ((m.permute(1, 2, 3, 0).float() + 1) * 127.5).clamp(0, 255).byte())
        ]
        contact_sheet(pairs, arguments.out / "autoencoder.png")
        vae.to(torch.float16).save_pretrained(arguments.out / "vae")


def _budget(arguments: argparse.Namespace) -> Budget:
    if arguments.smoke:
        return Budget(seconds=60 * arguments.minutes, steps=6, log_every=0)
    return Budget(seconds=60 * arguments.minutes)


def _denoiser_recipe(arguments: argparse.Namespace) -> DenoiserRecipe:
    return DenoiserRecipe(
        mixture=Mixture(0.25, arguments.pairs, arguments.moving_camera),
        seed=arguments.seed,
        lr=arguments.lr,
        hint=0.0 if arguments.image_to_video else DenoiserRecipe.hint,
        final=arguments.final,
        from_picture=arguments.image_to_video,
        **(_SMOKE_DENOISER if arguments.smoke else {}),
    )


def _denoiser(arguments: argparse.Namespace) -> None:
    workers = None if arguments.smoke else new_workers()
    ranks = Ranks.join()
    recipe = _denoiser_recipe(arguments)
    work = train_denoiser(recipe, _budget(arguments), ranks, workers, arguments.out)
    if ranks.rank == 0:
        save_file(averaged(work), arguments.out / "denoiser.safetensors")
        pipe = _pipeline(arguments.out, recipe).to(ranks.device)
        shown: tuple[str, ...] = SHOWN[:4] if arguments.smoke else SHOWN
        pictures = None
        if recipe.from_picture:
            held_out = held_out_prompts()[:: 240 // len(shown)][: len(shown)]
            shown = tuple(prompt.prompt for prompt in held_out)
            truth = torch.cat([render([p.scene], 1, recipe.size)[:, 0] for p in held_out])
            pictures = (truth * 255).round().byte().to(ranks.device)
        clips = generate(pipe, shown, arguments.steps, arguments.guidance_scale, pictures=pictures)
        contact_sheet(list(clips), arguments.out / "denoiser.png", columns=3)


def _unpack(folder: Path, out: Path) -> None:
    """Lay out the weights of a finished folder as a run leaves them."""
    shutil.copytree(folder / "vae", out / "vae")
    files = {"transformer": "diffusion_pytorch_model.safetensors", "text_encoder": "model.safetensors"}
    parts = {name: load_file(folder / name / file) for name, file in files.items()}
    save_file(
        {f"{m}.{n}": v for m, part in parts.items() for n, v in part.items()}, out / "denoiser.safetensors"
    )


def _pipeline(out: Path, recipe: DenoiserRecipe) -> SproutPipeline:
    transformer = new_transformer(
        recipe.num_layers, recipe.num_heads, recipe.size, from_picture=recipe.from_picture
    )
    text_encoder = new_text_encoder(new_tokenizer())
    kept = load_file(out / "denoiser.safetensors")
    for name, module in (("transformer", transformer), ("text_encoder", text_encoder)):
        for n, p in module.named_parameters():
            p.data.copy_(kept[f"{name}.{n}"])
    vae = new_vae(recipe.size)
    vae.load_state_dict(load_file(out / "vae" / "diffusion_pytorch_model.safetensors"))
    return assemble(vae, transformer.eval(), text_encoder.eval())


def main() -> None:
    """Train or export one part of Sprout."""
    arguments = _arguments()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.start and not (arguments.out / "vae").exists():
        _unpack(arguments.start, arguments.out)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if arguments.stage == "autoencoder":
        _autoencoder(arguments)
    elif arguments.stage == "denoiser":
        _denoiser(arguments)
    else:
        name = "sprout-i2v" if arguments.image_to_video else "sprout"
        pipe = _pipeline(arguments.out, _denoiser_recipe(arguments))
        place_spare_words(pipe.text_encoder)
        export(pipe, arguments.out / name)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
