"""`python -m vitascope.training.sgm_vfi --out DIR --minutes 9`: train a small SGM-VFI of our own.

Run it again with the same folder and it goes on where it stopped; with `--finish` the learning rate falls
to zero at the end of the run. `DIR/model.safetensors` is what `interpolate --method sgm-vfi --weights DIR`
takes. Photographs come from scikit-image if it is installed, and from `--photos FOLDER`; `--clips FOLDER`
adds real clips. `torchrun --nproc-per-node 4 -m vitascope.training.sgm_vfi ...` uses four GPUs.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from vitascope.errors import VitascopeError
from vitascope.training.loop import Ranks
from vitascope.training.sgm_vfi.synthetic_motion import packaged_photos, photos_in
from vitascope.training.sgm_vfi.training import Recipe, train

log = logging.getLogger("vitascope.train")


def main(arguments: list[str] | None = None) -> int:
    """Parse the flags, train, and give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vitascope.training.sgm_vfi", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights and log")
    parser.add_argument("--minutes", type=float, default=9, help="stop after so many minutes")
    parser.add_argument("--finish", action="store_true", help="let the learning rate fall at the end")
    parser.add_argument("--photos", type=Path, help="folder of JPEG or PNG pictures")
    parser.add_argument("--clips", type=Path, help="folder of real clips to learn from as well")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="GPUs if there are any, unless given")
    parser.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE", help="any other knob")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    knobs = dict(knob.split("=", 1) for knob in given.set)
    try:
        recipe = Recipe(minutes=given.minutes, finish=given.finish, **knobs)
        photos = packaged_photos() + (photos_in(given.photos) if given.photos else [])
        if not photos:
            log.warning("no photographs: install scikit-image or give --photos; training on fractals alone")
        train(recipe, photos, given.out, Ranks.join(given.device), log.info, given.clips)
    except (VitascopeError, ValueError) as error:
        log.error("%s", error)
        return getattr(error, "exit_code", 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
