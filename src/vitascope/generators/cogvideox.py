"""CogVideoX: text, picture or clip to video, from the embedded Sprout to CogVideoX 1.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vitascope.clip import Pixels
from vitascope.context import Context
from vitascope.engine.block_cache import CacheCalibration
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.preview import as_pixels, averaged_down
from vitascope.engine.tensor_files import tensor_shapes
from vitascope.engine.weights import Configs
from vitascope.errors import UnsupportedTask
from vitascope.generators._diffusers import DiffusersGenerator
from vitascope.generators._profile import Profile, nearest
from vitascope.generators.base import KnownModel
from vitascope.task import ImageToVideo, Task, TextToVideo, VideoToVideo

README = "https://github.com/zai-org/CogVideo/blob/main/README.md"
FROM_TEXT = (TextToVideo.kind, VideoToVideo.kind)
FROM_IMAGE = (ImageToVideo.kind,)
FOLDER = "diffusers.pipelines.cogvideo"
# The VAE decodes latent frames two at a time and its first pair gives one frame less than the others: an odd
# number n of latent frames becomes 4n-3 frames, an even one 4n, so that 13 frames asked would be 16.
FRAMES = {"frame_step": 8, "frame_offset": 1}
# Schedulers that do not know CogVideoX's shifted noise schedule and are given it as betas.
GIVEN_BETAS = {"dpm++": {}, "sde-dpm++": {"algorithm_type": "sde-dpmsolver++"}, "unipc": {}}

_FIRST = Profile(
    width=720,
    height=480,
    num_frames=49,
    fps=Fraction(8),
    num_inference_steps=50,
    guidance_scale=6.0,
    max_width=4 * 720,
    max_height=4 * 480,
    max_frames=49,
    max_sequence_length=226,
    kinds=FROM_TEXT,
    cache=CacheCalibration(first_block=0.025),  # ParaAttention's; not run on real weights here
    **FRAMES,
)
_FIRST_IMAGE = _FIRST.model_copy(
    update={"kinds": FROM_IMAGE, "only_native_size": True, "only_native_length": True}
)
_LATER = _FIRST.model_copy(
    update={
        "width": 1360,
        "height": 768,
        "num_frames": 81,
        "fps": Fraction(16),
        "max_frames": 161,
        "max_width": 1360,
        "max_height": 768,
        # Its transformer takes latent frames in pairs. From text the pipeline adds one and drops it again;
        # from a clip it cannot, so that clips have 8k frames there.
        "frame_offset_from_video": 0,
    }
)
_LATER_IMAGE = _LATER.model_copy(update={"kinds": FROM_IMAGE, "max_height": 1360})


def _published(name: str, repo: str, gib: float, kinds: tuple[str, ...], note: str) -> KnownModel:
    return KnownModel(
        name=name,
        repo=f"zai-org/{repo}",
        aliases=(f"THUDM/{repo}",),
        card=repo.lower(),
        download_gib=gib,
        tasks=kinds,
        note=note,
        source=README,
    )


def patch_embedding(file: Path) -> tuple[int, ...] | None:
    """The shape of the patch embedding in a single file; None if the file holds no CogVideoX transformer."""
    shapes = tensor_shapes(file)
    for name, shape in shapes.items():
        prefix, found, _ = name.partition("patch_embed.proj.weight")
        if found and f"{prefix}patch_embed.text_proj.weight" in shapes:
            return shape
    return None


def follows_paths(file: Path) -> bool:
    """Whether the transformer in a single file is Tora's, which has a fuser of motion in each block."""
    return any(".flow_gamma_spatial." in name for name in tensor_shapes(file))


class CogVideoX(DiffusersGenerator):
    """CogVideoX 2B, 5B, 1.5-5B and the embedded Sprout: text, picture or clip to video.

    Source: Yang et al., https://arxiv.org/abs/2408.06072; defaults and limits from the authors' README
    (https://github.com/zai-org/CogVideo) and model cards; run by diffusers' CogVideoX pipelines.
    """

    accepts: ClassVar[tuple[type[Task], ...]] = (TextToVideo, ImageToVideo, VideoToVideo)
    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="sprout",
            repo=None,
            card="cogvideox-2b",
            licence="Apache-2.0",
            download_gib=0,
            tasks=FROM_TEXT,
            note="tiny, of a procedural toy world; comes with vitascope-embedded and runs on a CPU",
        ),
        KnownModel(
            name="sprout-i2v",
            repo=None,
            card="cogvideox-2b",
            licence="Apache-2.0",
            download_gib=0,
            tasks=FROM_IMAGE,
            note="Sprout that goes on from a picture; comes with vitascope-embedded and runs on a CPU",
        ),
        _published("cogvideox-2b", "CogVideoX-2b", 12.4, FROM_TEXT, "720x480, 49 frames"),
        _published("cogvideox-5b", "CogVideoX-5b", 19.6, FROM_TEXT, "720x480, 49 frames"),
        _published(
            "cogvideox-5b-i2v",
            "CogVideoX-5b-I2V",
            19.7,
            FROM_IMAGE,
            "720x480, 49 frames",
        ),
        _published(
            "cogvideox-1.5-5b",
            "CogVideoX1.5-5B",
            19.6,
            FROM_TEXT,
            "1360x768, 81 to 161 frames",
        ),
        _published(
            "cogvideox-1.5-5b-i2v",
            "CogVideoX1.5-5B-I2V",
            19.6,
            FROM_IMAGE,
            "up to 1360x1360",
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "cogvideox-2b": _FIRST,
        "cogvideox-5b": _FIRST,
        "cogvideox-5b-i2v": _FIRST_IMAGE,
        "cogvideox-1.5-5b": _LATER,
        "cogvideox-1.5-5b-i2v": _LATER_IMAGE,
    }
    splits: ClassVar[tuple[str, ...]] = ("guidance", "tokens")
    pipelines: ClassVar[tuple[str, ...]] = (
        "CogVideoXPipeline",
        "CogVideoXImageToVideoPipeline",
        "CogVideoXVideoToVideoPipeline",
    )
    pipeline_for: ClassVar[Mapping[str, str]] = {
        "text-to-video": f"{FOLDER}.pipeline_cogvideox:CogVideoXPipeline",
        "image-to-video": f"{FOLDER}.pipeline_cogvideox_image2video:CogVideoXImageToVideoPipeline",
        "video-to-video": f"{FOLDER}.pipeline_cogvideox_video2video:CogVideoXVideoToVideoPipeline",
    }
    denoiser_class: ClassVar[str] = (
        "diffusers.models.transformers.cogvideox_transformer_3d:CogVideoXTransformer3DModel"
    )
    schedulers: ClassVar[Mapping[str, str]] = {
        "ddim": "diffusers.schedulers.scheduling_ddim_cogvideox:CogVideoXDDIMScheduler",
        "dpm": "diffusers.schedulers.scheduling_dpm_cogvideox:CogVideoXDPMScheduler",
        "dpm++": "diffusers.schedulers.scheduling_dpmsolver_multistep:DPMSolverMultistepScheduler",
        "sde-dpm++": "diffusers.schedulers.scheduling_dpmsolver_multistep:DPMSolverMultistepScheduler",
        "unipc": "diffusers.schedulers.scheduling_unipc_multistep:UniPCMultistepScheduler",
    }

    model: str = Field("sprout", description="short name, hub id, local folder or single file")
    use_dynamic_cfg: bool = Field(
        False, description="let the guidance grow along the steps (with scheduler dpm)"
    )

    def prompt_style(self) -> str:
        """Long captions for the published models; one short sentence of its own world for Sprout."""
        return "toy-world" if self.model in ("sprout", "sprout-i2v") else "cogvideox"

    @classmethod
    def profile_of(cls, configs: Configs) -> Profile:
        """The profile of a folder, from the configuration of its transformer and VAE."""
        net, vae = configs.component("transformer"), configs.component("vae")
        pixels = 2 ** (len(vae.get("block_out_channels", (0,) * 4)) - 1)
        later = net.get("patch_size_t") is not None
        from_image = net.get("in_channels", 16) == 2 * vae.get("latent_channels", 16)
        base = _LATER if later else _FIRST
        width, height = net.get("sample_width", 90) * pixels, net.get("sample_height", 60) * pixels
        frames = net.get("sample_frames", 49)
        # Beyond some times the trained size positions mean nothing, and memory runs out without a word.
        limits: dict[str, Any] = {"max_width": 4 * width, "max_height": 4 * height, "max_frames": 4 * frames}
        if later:  # its rotary positions are cut out of a table of this size
            limits = {"max_width": width, "max_height": height, "max_frames": 2 * frames - 1}
        learned = bool(net.get("use_learned_positional_embeddings"))
        return base.model_copy(
            update={
                "width": min(width, base.width) if later and from_image else width,
                "height": min(height, base.height) if later and from_image else height,
                "num_frames": nearest(frames, 8, 1, 1, frames)[0],
                "size_multiple": pixels * net.get("patch_size", 2),
                "max_sequence_length": net.get("max_text_seq_length", 226),
                "kinds": FROM_IMAGE if from_image else FROM_TEXT,
                "only_native_size": learned,
                "only_native_length": learned,
                **limits,
            }
        )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a single file holds a CogVideoX transformer in diffusers' names, and not Tora's."""
        return path.is_file() and patch_embedding(path) is not None and not follows_paths(path)

    @classmethod
    def lender_of(cls, file: Path) -> str | None:
        """The published model of the same width, inputs and positions as the transformer in `file`."""
        shape = patch_embedding(file)
        if shape is None or shape[0] not in (1920, 3072):
            return None
        if shape[0] == 1920:
            return "cogvideox-2b"
        if len(shape) == 4:
            return {16: "cogvideox-5b", 32: "cogvideox-5b-i2v"}.get(shape[1])
        return {16 * 8: "cogvideox-1.5-5b", 32 * 8: "cogvideox-1.5-5b-i2v"}.get(shape[1])

    def new_scheduler(self, modules: LoadedPipeline, name: str | None) -> Any:
        """A fresh scheduler; one that cannot shift its noise schedule is given the model's as betas."""
        if name not in GIVEN_BETAS:
            return super().new_scheduler(modules, name)
        kept = modules.new_original_scheduler().alphas_cumprod.double()
        betas = 1 - kept / kept.new_ones(1).expand(1).new_tensor([1.0, *kept[:-1].tolist()])
        changes = {**GIVEN_BETAS[name], "trained_betas": betas.tolist()}
        return modules.new_scheduler(self.schedulers[name], changes)

    def decode_preview(self, pipeline: Any, latents: Any) -> Pixels:
        """The frame in the middle, from latents that were averaged down."""
        middle = latents.shape[1] // 2
        small = averaged_down(latents[:, middle : middle + 1].to(pipeline.vae.dtype))
        return as_pixels(pipeline.decode_latents(small))

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family, and `use_dynamic_cfg`.

        Raises: UnsupportedTask for several clips made from clips at once by CogVideoX 1.5, whose pipeline
        counts the clips where it should count their frames; for another length of text than the network has
        places for, where they are learned or added.
        """
        net = pipeline.transformer.config
        if not net.use_rotary_positional_embeddings and self.max_sequence_length != net.max_text_seq_length:
            raise UnsupportedTask(
                f"max_sequence_length={self.max_sequence_length}: {self.model} reads {net.max_text_seq_length} "
                "tokens, no more and no fewer; leave it out",
                param="max_sequence_length",
            )
        if len(tasks) > 1 and isinstance(tasks[0], VideoToVideo) and pipeline.transformer.config.patch_size_t:
            raise UnsupportedTask(f"{self.model} makes clips from clips one at a time", param="batch")
        return {**super().arguments(tasks, pipeline, context), "use_dynamic_cfg": self.use_dynamic_cfg}
