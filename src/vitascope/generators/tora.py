"""Tora: CogVideoX whose objects move along drawn paths, by our own port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vitascope.context import Context
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.placement import Placement
from vitascope.engine.weights import Configs
from vitascope.errors import UnsupportedTask
from vitascope.generators._components import located, parts_of
from vitascope.generators._given_media import fitted
from vitascope.generators._profile import Profile
from vitascope.generators.base import KnownModel, Part
from vitascope.generators.cogvideox import GIVEN_BETAS, CogVideoX, follows_paths, patch_embedding
from vitascope.models.tora.paths import canvas_tracks, flow_of, leaves_picture
from vitascope.task import ImageToVideo, Task, TextToVideo, TrajectoryToVideo

TaskT = TypeVar("TaskT", bound=Task)

OWNER = "Alibaba-Research-Intelligence-Computing"
SOURCE = "https://github.com/alibaba/Tora/blob/9a23dceb905d8b224983f7a94f42a6db79c9c63b/diffusers-version/inference.py"
FOLDER = "vitascope.models.tora.pipelines"
FROM_TEXT = (TextToVideo.kind, TrajectoryToVideo.kind)
FROM_IMAGE = (ImageToVideo.kind, TrajectoryToVideo.kind)
# From a picture it is published as a checkpoint of the denoiser alone.
CHECKPOINTS = {"tora-i2v": "tora/i2v/mp_rank_00_model_states.pt"}
AROUND = ("*.json", "scheduler/*", "tokenizer/*", "text_encoder/*", "vae/*", "transformer/config.json")
LENDERS = {16: "zai-org/CogVideoX-5b", 32: "zai-org/CogVideoX-5b-I2V"}

_FROM_TEXT = CogVideoX.profiles["cogvideox-5b"].model_copy(update={"kinds": FROM_TEXT, "scheduler": "dpm"})
_FROM_IMAGE = CogVideoX.profiles["cogvideox-5b-i2v"].model_copy(
    update={"kinds": FROM_IMAGE, "scheduler": "dpm"}
)


class Tora(CogVideoX):
    """Tora: what is in a clip moves along drawn paths, from text or from a picture; without paths it is CogVideoX.

    The code is Apache-2.0, the weights CogVideoX's licence; the authors publish them for academic research only.

    Source: Zhang et al., arXiv 2407.21705; alibaba/Tora at 9a23dce, `diffusers-version/inference.py` (defaults).
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TrajectoryToVideo, TextToVideo, ImageToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="tora",
            repo=f"{OWNER}/Tora_T2V_diffusers",
            aliases=("Le0jc/Tora_T2V_diffusers",),
            card="tora-t2v",
            tasks=FROM_TEXT,
            note="things follow drawn paths: 720x480, 49 frames",
            source=SOURCE,
        ),
        KnownModel(
            name="tora-i2v",
            repo=f"{OWNER}/Tora",
            aliases=("Le0jc/Tora",),
            card="tora-i2v",
            tasks=FROM_IMAGE,
            note="things in a picture follow drawn paths: 720x480, 49 frames; other parts from CogVideoX-5b-I2V",
            source=SOURCE,
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {"tora": _FROM_TEXT, "tora-i2v": _FROM_IMAGE}
    # A single file's other parts come from a folder of CogVideoX; by name alone such a folder is one.
    pipelines: ClassVar[tuple[str, ...]] = (
        "ToraPipeline",
        "ToraImageToVideoPipeline",
        *CogVideoX.pipelines[:2],
    )
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: f"{FOLDER}:ToraPipeline",
        ImageToVideo.kind: f"{FOLDER}:ToraImageToVideoPipeline",
    }
    denoiser_class: ClassVar[str] = "vitascope.models.tora.transformer:ToraTransformer3DModel"
    splits: ClassVar[tuple[str, ...]] = ()

    model: str = Field("tora", description="short name, hub id, local folder or single file")
    use_dynamic_cfg: bool = Field(True, description="let the guidance grow along the steps")

    def prompt_style(self) -> str:
        """Long captions, as CogVideoX likes them."""
        return "cogvideox"

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """As for CogVideoX, and with trajectories."""
        profile = super().profile_of(configs)
        kinds = FROM_IMAGE if ImageToVideo.kind in profile.kinds else FROM_TEXT
        return profile.model_copy(update={"kinds": kinds, "scheduler": "dpm"})

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a single file holds Tora's transformer, in diffusers' names or in those of its authors."""
        return path.is_file() and patch_embedding(path) is not None and follows_paths(path)

    @classmethod
    def lender_of(cls, file: Path) -> str | None:
        """The CogVideoX whose text encoder and VAE go with the transformer in `file`."""
        shape = patch_embedding(file)
        return LENDERS.get(shape[1]) if shape is not None and shape[0] == 3072 and len(shape) == 4 else None

    def pipeline_of(self, kind: str) -> str:
        """Paths are followed from text or from a picture, whichever the model starts from."""
        return self.pipeline_for[self.profile().kinds[0] if kind == TrajectoryToVideo.kind else kind]

    def parts(self) -> tuple[Part, ...]:
        """The model; of the checkpoint for pictures, that file and what goes around it."""
        file = self._checkpoint()
        if file is None:
            return super().parts()
        (model,) = super().parts()
        return model.model_copy(update={"patterns": (file,)}), *parts_of(self._around(), patterns=AROUND)

    def load(self, placement: Placement) -> LoadedPipeline:
        """As for every family. Raises: as there."""
        file = self._checkpoint()
        if file is None:
            return super().load(placement)
        path = located(self.source().name, (file,)) / file
        return self.model_copy(update={"model": str(path), "base": self._around()}).load(placement)

    def _around(self) -> str:
        """The model whose text encoder and VAE go with the checkpoint for pictures."""
        return self.base or LENDERS[32]

    def _checkpoint(self) -> str | None:
        known = self.known_model(self.model)
        return None if known is None else CHECKPOINTS.get(known.name)

    def new_scheduler(self, modules: LoadedPipeline, name: str | None) -> Any:
        """As for CogVideoX; its own schedulers count their steps from the end, whatever the folder says."""
        if name in GIVEN_BETAS:
            return super().new_scheduler(modules, name)
        return modules.new_scheduler(
            self.schedulers[name] if name else None, {"timestep_spacing": "trailing"}
        )

    def check_kind(self, task: Task) -> None:
        """Raises: UnsupportedTask, also for a picture too many or too few."""
        super().check_kind(task)
        if not isinstance(task, TrajectoryToVideo):
            return
        from_image = ImageToVideo.kind in self.profile().kinds
        if from_image and task.image is None:
            raise UnsupportedTask(
                f"{self.model} moves what is in a picture: give it an image, or take a model that starts from text, "
                "such as tora",
                param="image",
            )
        if not from_image and task.image is not None:
            raise UnsupportedTask(
                f"{self.model} starts from text alone: leave the image out, or take a model that starts from one, "
                "such as tora-i2v",
                param="image",
            )

    def complete(self, task: TaskT) -> TaskT:
        """As for every family. Raises: UnsupportedTask, also for paths that no thing can follow."""
        completed = super().complete(task)
        if isinstance(completed, TrajectoryToVideo):
            canvas_tracks(completed.trajectories)
        return completed

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for CogVideoX, with the film of motion that is followed, and the picture."""
        arguments = super().arguments(tasks, pipeline, context)
        following = [task for task in tasks if isinstance(task, TrajectoryToVideo)]
        if not following:
            return arguments
        import torch

        films = [self._film(task, context).to(pipeline.vae.dtype) for task in following]
        arguments["video_flow"] = torch.stack(films) / 127.5 - 1
        pictures = [fitted(task.image.pixels, task, context) for task in following if task.image is not None]
        return {**arguments, "image": pictures} if pictures else arguments

    def _film(self, task: TrajectoryToVideo, context: Context) -> Any:
        from vitascope.models.tora.colours import film_of

        assert task.num_frames and task.width and task.height, "complete() fills these in"
        if leaves_picture(task.trajectories):
            context.warn("a path runs outside the picture: what starts there is not followed")
        longest = max(len(path) for path in task.trajectories.paths)
        if longest > task.num_frames:
            context.warn(
                f"a path has {longest} points and the clip {task.num_frames} frames: not every point is followed"
            )
        tracks = canvas_tracks(task.trajectories)
        return film_of(flow_of(tracks, task.num_frames, task.width, task.height))
