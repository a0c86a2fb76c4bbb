"""Write tiny random models of all families: `python -m tests.generators DIR`, from the checkout.

Beside the folders lie a picture, a clip, a path, poses and `commands.sh`, which makes a clip with each; with names
after DIR only these folders are written. A model takes a second or two to write and needs no network; what it makes is
noise.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import diffusers
import transformers
from PIL.Image import fromarray

from tests.generators import tiny_animatediff, tiny_cogvideox, tiny_svd
from tests.generators.families import FAMILIES
from tests.generators.family import Family, footage, picture, walk
from tests.generators.tiny_hunyuan import save_hunyuan_token_replace
from tests.generators.tiny_wan import save_wan_text_and_image
from vitascope.task import ImageToVideo, MotionToVideo, Task, TextToVideo, TrajectoryToVideo, VideoToVideo

PICTURE, CLIP, PATH, POSES = "picture.png", "clip.mp4", "path.txt", "poses.json"
CONTROLLED = ("animatediff-controlnet", "animatediff-sparsectrl")
"""Generators that run AnimateDiff's own folders, so that these do not tell which one is meant."""


@dataclass(frozen=True)
class Tiny:
    """A tiny model of a family, and what makes a clip with it; `parts` are further folders, by their knobs."""

    name: str
    family: str
    build: Callable[[Path], Path]
    kind: type[Task]
    size: tuple[int, int]
    num_frames: int
    parts: dict[str, Callable[[Path], Path]] = field(default_factory=dict)
    reads_prompt: bool = True
    with_picture: bool = False

    def command(self, root: Path) -> str:
        """The command line that makes its clip."""
        model = str(root / self.name)
        words = ["vitascope", "generate", "a red ball" if self.reads_prompt else ""]
        if self.family in CONTROLLED:
            words += ["--model", self.family, "--set", f"weights={model}"]
        else:
            words += ["--model", model]
        from_picture = self.kind in (ImageToVideo, MotionToVideo) or self.with_picture
        words += ["--image", str(root / PICTURE)] if from_picture else []
        words += ["--trajectory", str(root / PATH)] if self.kind is TrajectoryToVideo else []
        words += ["--poses", str(root / POSES)] if self.kind is MotionToVideo else []
        words += ["--video", str(root / CLIP)] if self.kind is VideoToVideo else []
        words += ["--size", "{}x{}".format(*self.size), "--frames", str(self.num_frames), "--steps", "2"]
        for knob, build in self.parts.items():
            words += ["--set", f"{knob}={root / _part(build)}"]
        return shlex.join([*words, "--device", "cpu", "-o", str(root / f"{self.name}.mp4")])

    def write(self, root: Path) -> None:
        """Write its folder and those of its parts."""
        for folder, build in [
            (self.name, self.build),
            *((_part(build), build) for build in self.parts.values()),
        ]:
            if not (root / folder).exists():
                build(root / folder)


def _part(build: Callable[[Path], Path]) -> str:
    return build.__name__.removeprefix("save_").replace("_", "-")


def _open_sora(folder: Path) -> Path:
    from tests.models.opensora.tiny_opensora import tiny_pipeline

    tiny_pipeline().save_pretrained(folder)
    return folder


def _open_sora_plan(release: str, inpainting: bool = False) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        from tests.models.opensora_plan.tiny_opensora_plan import tiny_pipeline

        tiny_pipeline(release, inpainting=inpainting).save_pretrained(folder)
        return folder

    return build


def _cogvideox(variant: str) -> Callable[[Path], Path]:
    return lambda folder: tiny_cogvideox.save(folder, variant)


def _of(family: Family) -> Tiny:
    name = str(family) if family.kind is VideoToVideo else _part(family.build)
    if family.kind is ImageToVideo and any(
        other.build is family.build and other.kind is TextToVideo for other in FAMILIES
    ):
        name += "-from-a-picture"
    return Tiny(
        name,
        *(family.name, family.build, family.kind, family.size, family.num_frames),
        parts=family.parts,
        reads_prompt=family.reads_prompt,
        with_picture=family.with_picture,
    )


_ADAPTED, _PLAN = tiny_animatediff.save_animatediff, "opensora-plan"
TINY = [
    Tiny("cogvideox-2b", "cogvideox", _cogvideox("2b"), TextToVideo, (32, 32), 9),
    Tiny("cogvideox-5b", "cogvideox", _cogvideox("5b"), TextToVideo, (32, 32), 9),
    Tiny("cogvideox-5b-i2v", "cogvideox", _cogvideox("5b-i2v"), ImageToVideo, (32, 32), 9),
    Tiny("open-sora-1.2", "opensora", _open_sora, TextToVideo, (48, 32), 17),
    Tiny("open-sora-1.2-from-a-picture", "opensora", _open_sora, ImageToVideo, (48, 32), 17),
    Tiny("open-sora-plan-1.2", _PLAN, _open_sora_plan("1.2"), TextToVideo, (32, 32), 5),
    Tiny("open-sora-plan-1.3", _PLAN, _open_sora_plan("1.3"), TextToVideo, (32, 32), 5),
    Tiny("open-sora-plan-1.3-i2v", _PLAN, _open_sora_plan("1.3", True), ImageToVideo, (32, 32), 5),
    Tiny("hunyuan-token-replace", "hunyuan", save_hunyuan_token_replace, ImageToVideo, (32, 32), 5),
    Tiny("wan-text-and-image", "wan", save_wan_text_and_image, TextToVideo, (32, 32), 5),
    *map(_of, FAMILIES),
    Tiny(
        *("exvideo", "svd", tiny_svd.save_svd, ImageToVideo, (128, 128), tiny_svd.REACH),
        parts={"extension": tiny_svd.save_exvideo_extension},
        reads_prompt=False,
    ),
    Tiny(
        *("stable-diffusion", "animatediff", tiny_animatediff.save_stable_diffusion),
        *(TextToVideo, (64, 64), 4),
        parts={"motion_adapter": tiny_animatediff.save_motion_adapter},
    ),
    Tiny(
        *("animatediff-controlnet", "animatediff-controlnet", _ADAPTED, VideoToVideo, (64, 64), 4),
        parts={"controlnet": tiny_animatediff.save_controlnet},
    ),
    Tiny(
        *("animatediff-sparsectrl", "animatediff-sparsectrl", _ADAPTED, ImageToVideo, (64, 64), 4),
        parts={"controlnet": tiny_animatediff.save_sparse_controlnet},
    ),
]


def main() -> None:
    """Write what was asked for and say how to use it."""
    parser = argparse.ArgumentParser(prog="python -m tests.generators", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(tiny.name for tiny in TINY)}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {tiny.name for tiny in TINY}
    if unknown:
        parser.error(f"no tiny model is called {', '.join(sorted(unknown))}")
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    root = arguments.folder
    root.mkdir(parents=True, exist_ok=True)
    fromarray(picture(0, 64, 64).pixels).save(root / PICTURE)
    footage(0, 24, 64, 64).save(root / CLIP)
    (root / PATH).write_text("64,128\n192,128\n", encoding="utf-8")
    walk(24).write(root / POSES)
    chosen = [tiny for tiny in TINY if not arguments.names or tiny.name in arguments.names]
    for tiny in chosen:
        tiny.write(root)
    lines = [tiny.command(root) for tiny in chosen]
    (root / "commands.sh").write_text("set -e\n" + "\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
