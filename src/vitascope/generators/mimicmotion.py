"""MimicMotion: the person of a picture moves as a sequence of poses says, by our own port on SVD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
from pydantic import Field

from vitascope.context import Context
from vitascope.engine import hub, memory, pipelines, weights
from vitascope.engine.folder_configs import unread
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.placement import Placement
from vitascope.engine.tensor_files import safetensors_header
from vitascope.errors import InvalidMedia, UnsupportedTask
from vitascope.generators._components import check_named
from vitascope.generators._given_media import warn_of_cut
from vitascope.generators._one_at_a_time import OneAtATime
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel, Part
from vitascope.settings import Settings
from vitascope.task import MotionToVideo, Task

TaskT = TypeVar("TaskT", bound=Task)

HUB = "tencent/MimicMotion"
SVD = "stabilityai/stable-video-diffusion-img2vid-xt-1-1"
SVD_PIPELINES = ("StableVideoDiffusionPipeline",)
AUTHORS = "https://github.com/Tencent/MimicMotion/blob/62f91e1f4ab750e1ab0d96c08f2d199b6e84e8b1"
KINDS = (MotionToVideo.kind,)
FILES = {"mimicmotion-1.1": "MimicMotion_1-1.pth", "mimicmotion-1": "MimicMotion_1.pth"}
TILES = {"mimicmotion-1.1": 72, "mimicmotion-1": 16}
LENT = ("*.json", "*/*.json", "vae/*", "image_encoder/*")  # all but SVD's own UNet
MARK = "pose_net.conv_layers.0.weight"

_PUBLISHED = Profile(
    width=576,
    height=1024,
    num_frames=72,
    fps=Fraction(15),
    num_inference_steps=25,
    guidance_scale=2.0,
    negative_prompt=False,
    size_multiple=64,
    kinds=KINDS,
)


def _model(name: str) -> KnownModel:
    return KnownModel(
        name=name,
        repo=HUB,
        card="mimicmotion",
        tasks=KINDS,
        note=f"a picture's person moves by poses: tiles of {TILES[name]} frames; SVD-XT 1.1 is downloaded beside it",
        source=f"{AUTHORS}/README.md",
    )


class MimicMotion(OneAtATime):
    """MimicMotion: the person of a picture moves as a sequence of poses says, for as long as there are poses.

    It reads no prompt. Long clips are denoised in tiles of `tile_size` frames, of which neighbours share
    `tile_overlap` - 1 and which all start with the picture. `base` is the SVD-XT 1.1 that lends the VAE, the image
    encoder and the UNet's configuration. With a pose of the picture (`image_pose` of the task) the driving poses are
    moved to where its person stands.

    Source: arXiv 2406.19680; Tencent/MimicMotion at 62f91e1, Apache-2.0: defaults of configs/test.yaml and
    inference.py.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (MotionToVideo,)
    singly: ClassVar[tuple[type[Task], ...]] = (MotionToVideo,)
    models: ClassVar[tuple[KnownModel, ...]] = tuple(map(_model, FILES))
    profiles: ClassVar[Mapping[str, Profile]] = dict.fromkeys(FILES, _PUBLISHED)
    pipeline_for: ClassVar[Mapping[str, str]] = {
        MotionToVideo.kind: "vitascope.models.mimicmotion.pipeline:MimicMotionPipeline"
    }
    denoiser: ClassVar[str] = "unet"
    takes_loras: ClassVar[bool] = False

    model: str = Field("mimicmotion-1.1", description="short name, hub id, folder or .pth file")
    base: str | None = Field(SVD, description="SVD-XT 1.1: hub id or folder in diffusers layout")
    tile_size: int | None = Field(None, ge=2, le=1000, description="frames denoised together")
    tile_overlap: int = Field(
        6, ge=1, le=999, description="frames that two tiles share, the picture's with them"
    )
    min_guidance_scale: float | None = Field(None, ge=0, le=100, description="of the first frame")
    motion_bucket_id: int = Field(127, ge=0, le=255)
    noise_aug_strength: float = Field(0.0, ge=0, le=1)
    conditioning_fps: int = Field(7, ge=1, le=120, description="the rate that the UNet is told")
    decode_chunk_size: int = Field(8, ge=1, description="frames decoded at a time; fewer take less memory")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a file, or a folder with one, names MimicMotion's tensors; nothing is unpickled."""
        if path.is_dir():
            return any((path / name).is_file() for name in FILES.values())
        try:
            if path.suffix == ".safetensors":
                return MARK in safetensors_header(path)
            return path.is_file() and is_zipfile(path) and _lists(path, MARK)
        except (InvalidMedia, BadZipFile, OSError):
            return False

    def profile(self) -> Profile:
        """As published; sizes on the grid of a local base. Raises: InvalidMedia, WeightsMissing for another family."""
        self.source()
        base = self._base()
        if base.kind == "hub":
            return _PUBLISHED
        configs = weights.read_configs(base, offline=True)
        weights.check_family(configs, SVD_PIPELINES, base.name)
        parts = (configs.component(part).get("block_out_channels", (0,) * 4) for part in ("unet", "vae"))
        return _PUBLISHED.model_copy(update={"size_multiple": 2 ** sum(len(widths) - 1 for widths in parts)})

    def check_base_and_revision(self) -> None:
        """As for every family, but a base always lends its parts."""
        check_named(self.source, self.model, None, self.revision)

    def _base(self) -> weights.Source:
        source = weights.find_source(self.base or SVD)
        if source is None or source.kind == "file":
            raise InvalidMedia(
                f"base={self.base!r} is no SVD in diffusers layout; give a folder or hub id", param="base"
            )
        return source

    def parts(self) -> tuple[Part, ...]:
        """The authors' file and the SVD that lends the other parts, of which local ones take nothing."""
        own, base = self.source(), self._base()
        file = Part(repo=own.name, revision=own.revision, patterns=(self._file_name(),))
        lent = Part(repo=base.name, patterns=LENT)
        return tuple(part for part, source in ((file, own), (lent, base)) if source.kind == "hub")

    def _file_name(self) -> str:
        known = self.known_model(self.model)
        return FILES[known.name if known else "mimicmotion-1.1"]

    def check_kind(self, task: Task) -> None:
        """Raises: UnsupportedTask for all but a picture with poses."""
        if not isinstance(task, self.accepts):
            hint = "give a picture and the poses that move its person"
            raise UnsupportedTask(f"{self.name} makes {KINDS[0]}, not {task.kind}: {hint}", param="kind")

    def complete(self, task: TaskT) -> TaskT:
        """As for every family; length and rate come from the poses, the size from the picture's shape.

        Raises: UnsupportedTask, InvalidMedia for poses that show nobody.
        """
        self.check_kind(task)
        size = self._tile_size()
        if self.tile_overlap >= size:
            raise UnsupportedTask(
                f"tile_overlap={self.tile_overlap} of tiles of {size} leaves nothing new; at most {size - 1}",
                param="tile_overlap",
            )
        assert isinstance(task, MotionToVideo), "accepts says so"
        return super().complete(task.model_copy(update=_from_media(task)))

    def _tile_size(self) -> int:
        if self.tile_size is not None:
            return self.tile_size
        name = next((name for name, file in FILES.items() if Path(self.model).name == file), self.model)
        return TILES.get(name, TILES["mimicmotion-1.1"])

    def filled_in(self, profile: Profile) -> MimicMotion:
        """As for every family, with the tile's size and the first frame's guidance."""
        filled = super().filled_in(profile)
        assert isinstance(filled, MimicMotion), "filled_in keeps the class"
        low = filled.guidance_scale if self.min_guidance_scale is None else self.min_guidance_scale
        return filled.model_copy(update={"tile_size": self._tile_size(), "min_guidance_scale": low})

    def load(self, placement: Placement) -> LoadedPipeline:
        """The pipeline, on its device.

        Raises: WeightsMissing, InvalidMedia, OutOfMemory, NoNetwork, DiskFull.
        """
        import torch

        from vitascope.models.checkpoints import load_exactly
        from vitascope.models.mimicmotion.loading import find_file, load_networks

        source, dtype = self.source(), getattr(torch, placement.dtype)
        offline, name = Settings.from_environment().offline, self._file_name()
        place = Path(source.name)
        if source.kind == "hub":
            place = hub.fetch_files(source.name, (name,), self.revision, offline=offline)
        file = find_file(place, name)
        folder = weights.local_path(self._base(), offline=offline, without=("unet",))
        weights.check_folder(folder, SVD_PIPELINES, without=("unet",))
        sizes = {
            **memory.component_gib(folder, placement.dtype),
            "unet": memory.file_gib(file, placement.dtype),
        }
        memory.check_room(memory.on_main_device(sizes, placement), placement)
        with memory.exhaustion_explained(placement, f"loading {self.model}"):
            networks = load_networks(file, weights.read_json(folder / "unet" / "config.json"), dtype)
            mine = {"unet": networks.unet, "pose_net": networks.pose_net}
            pipeline = pipelines.read(self.pipeline_for[MotionToVideo.kind], folder, placement, **mine)
            for part, tensors in networks.overriding.items():
                load_exactly(getattr(pipeline, part), tensors, dtype)
            warnings = list(unread(pipeline, folder))
            if networks.unknown:
                warnings.append(
                    f"{file.name}: {len(networks.unknown)} tensors are of no known part, such as "
                    f"{networks.unknown[0]!r}; left out"
                )
            pipeline, levers = pipelines.accelerated(pipeline, placement)
        marks = f"{weights.fingerprint(file)}+{weights.fingerprint(folder)}"
        return LoadedPipeline(pipeline, placement, marks, levers, tuple(warnings))

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """What MimicMotion's pipeline is called with: the picture and the drawn poses."""
        from PIL import Image as Pictures

        from vitascope.models.mimicmotion.picture import covered

        (first,) = tasks
        assert isinstance(first, MotionToVideo), "accepts says so"
        assert first.width and first.height, "complete() fills these in"
        if first.prompt:
            context.warn(f"{self.model} reads no prompt: it follows the picture and the poses")
        warn_of_cut(first.image.pixels, first, context)
        return {
            "image": Pictures.fromarray(covered(first.image.pixels, first.width, first.height)),
            "pose_pixels": _drawn(first, context),
            "height": first.height,
            "width": first.width,
            "num_inference_steps": self.num_inference_steps,
            "tile_size": self.tile_size,
            "tile_overlap": self.tile_overlap,
            "min_guidance_scale": self.min_guidance_scale,
            "max_guidance_scale": self.guidance_scale,
            "fps": self.conditioning_fps,
            "motion_bucket_id": self.motion_bucket_id,
            "noise_aug_strength": self.noise_aug_strength,
            "decode_chunk_size": self.decode_chunk_size,
            "output_type": "np",
        }


def _lists(archive: Path, name: str) -> bool:
    with ZipFile(archive) as file:
        listing = next((entry for entry in file.namelist() if entry.endswith("/data.pkl")), None)
        return listing is not None and name.encode() in file.read(listing)


def _from_media(task: MotionToVideo) -> dict[str, Any]:
    """What the picture and the poses decide of what a task leaves open. Raises: UnsupportedTask, InvalidMedia."""
    upright = task.image.height > task.image.width
    short, long = _PUBLISHED.width, _PUBLISHED.height
    rate = task.poses.rate
    # Clips are played at about 15 frames a second, so of a recording of 30 every other pose is taken.
    fps = task.fps or rate / max(1, round(rate / _PUBLISHED.fps))
    available = math.ceil(task.poses.num_frames * fps / rate)
    num_frames = task.num_frames or available
    if num_frames > available:
        raise UnsupportedTask(
            f"num_frames={num_frames}: {task.poses.num_frames} poses at {float(rate):g} fps make {available} frames "
            f"at {float(fps):g}; nearest: {available}",
            param="num_frames",
        )
    for name, poses in (("poses", task.poses), ("image_pose", task.image_pose)):
        if poses is not None and not poses.shows_somebody():
            raise InvalidMedia(
                f"{name} show nobody: no joint of any person has a score above 0.3", param=name
            )
    return {
        "width": task.width or (short if upright else long),
        "height": task.height or (long if upright else short),
        "fps": fps,
        "num_frames": num_frames,
    }


def _drawn(task: MotionToVideo, context: Context) -> Any:
    """The picture's own pose and then each frame's, drawn. Shape: N+1 3 H W."""
    import torch

    from vitascope.models.mimicmotion import align, draw_pose, frame_poses
    from vitascope.models.mimicmotion.picture import covered_pose

    assert task.width and task.height and task.fps and task.num_frames, "complete() fills these in"
    size = (task.height, task.width)
    step = task.poses.rate / task.fps
    all_poses = frame_poses(task.poses)
    driving = [all_poses[int(index * step)] for index in range(task.num_frames)]
    if task.image_pose is None:
        context.warn(
            "no pose of the picture was given (image_pose): the poses are taken as they stand in their clip"
        )
        reference = driving[0]
    else:
        whole = frame_poses(task.image_pose)[0]
        reference = covered_pose(whole, task.image.width, task.image.height, task.width, task.height)
        driving_size = (
            (task.poses.height, task.poses.width) if task.poses.height and task.poses.width else size
        )
        alignment = align(reference, driving, driving_size, size)
        if alignment is None:
            context.warn(
                "the poses cannot be compared with the picture's: no frame shows one person whose joints are seen"
            )
        else:
            driving = [alignment.of(pose) for pose in driving]
    drawings = [draw_pose(reference, *size)]
    for pose in driving:
        context.check_cancelled()
        drawings.append(draw_pose(pose, *size))
    return torch.from_numpy(np.stack(drawings))
