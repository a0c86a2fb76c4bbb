"""Measure every family at its published size: `python benchmarks/families.py --out FILE.json [MODEL ...]`.

The nets have the published configurations and random weights: time and memory do not depend on the values. Text
encoders are one layer at the published width with a byte tokenizer, so that what they cost is not in the figures.
Each model makes one clip through its generator, at the family's default size and length and a few steps; the
step time is the median of all steps but the first. Needs the repository's root on PYTHONPATH for the
configurations, which the tests hold. `--speed` makes the clip at one of our speeds instead of as diffusers has it.
`--quick` cuts depth and size to try the script itself on a CPU.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import json
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.generators import test_published_cogvideox as cogvideox
from tests.generators import test_published_configs as published
from tests.generators import tiny_hunyuan, tiny_hunyuan15, tiny_svd, tiny_text
from vitascope.clip import Clip, Image
from vitascope.context import Context, Progress
from vitascope.engine.levers import Levers
from vitascope.engine.pipelines import LoadedPipeline, accelerated, import_class, place
from vitascope.engine.placement import Placement
from vitascope.generators import GENERATORS
from vitascope.task import ImageToVideo, VideoToVideo

GIB = 2**30
PROMPT = "a red ball rolls over the grass towards a blue house while a dog runs after it"
WIDTH = 4096  # of T5-XXL, mT5-XXL, UMT5-XXL and LLaMA 3 8B
QUICK: dict[str, Any] = {}
QUICK_DEPTHS = {"num_layers": 1, "num_single_layers": 1, "num_refiner_layers": 1, "layers_per_block": 1,
                "vace_layers": [0]}  # fmt: skip


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def net(name: str, config: Mapping[str, Any] | None = None, *, exact: bool = False) -> Any:
    """A net of diffusers, or "module:Class", with random weights and the dtypes that loading would give it."""
    import diffusers

    cls = import_class(name) if ":" in name else getattr(diffusers, name)
    known = {key: value for key, value in (config or {}).items() if not key.startswith("_")}
    if QUICK and "Autoencoder" not in name:
        taken = inspect.signature(cls.__init__).parameters
        known |= {key: value for key, value in QUICK_DEPTHS.items() if key in taken}
    with _default_dtype(torch.float32 if exact else torch.get_default_dtype()):
        model = cls(**known).eval()
    kept = getattr(cls, "_keep_in_fp32_modules", None) or ()
    for key, parameter in model.named_parameters():
        if any(part in key.split(".") for part in kept):
            parameter.data = parameter.data.float()
    return model


def t5(kind: str = "T5", width: int = WIDTH) -> dict[str, Any]:
    """One layer of a T5 and a tokenizer."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=320, d_model=width, d_kv=64, d_ff=1024, num_layers=1, num_heads=4
    )
    encoder = getattr(transformers, f"{kind}EncoderModel")(config).eval()
    return {"text_encoder": encoder, "tokenizer": tiny_text.t5_tokenizer(512)}


def clip_large() -> Any:
    """The text half of CLIP ViT-L, with a small vocabulary."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=320, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return CLIPTextModel(config).eval()


def clip_huge(projection: int = 1024, *, projected: bool = True) -> Any:
    """The image half of CLIP ViT-H."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=2 if QUICK else 32, num_attention_heads=16,
        patch_size=14, image_size=224, projection_dim=projection, hidden_act="gelu",
    )  # fmt: skip
    return (CLIPVisionModelWithProjection if projected else CLIPVisionModel)(config).eval()


def svd(unet: Any, vae: Any) -> dict[str, Any]:
    """Parts of Stable Video Diffusion."""
    return {
        "vae": vae,
        "image_encoder": clip_huge(),
        "unet": unet,
        "scheduler": tiny_svd.scheduler(),
        "feature_extractor": tiny_text.clip_image_processor(224),
    }


def build_svd() -> dict[str, Any]:
    """SVD-XT."""
    unet = net("UNetSpatioTemporalConditionModel", {**published._SVD_UNET, "num_frames": 25})
    return svd(unet, net("AutoencoderKLTemporalDecoder", published._SVD_VAE))


def build_exvideo() -> dict[str, Any]:
    """SVD-XT with ExVideo's extension of 128 frames."""
    unet = net("vitascope.models.exvideo:ExVideoUNet", {**published._SVD_UNET, "num_frames": 128})
    return svd(unet, net("AutoencoderKLTemporalDecoder", published._SVD_VAE))


def build_animatediff() -> dict[str, Any]:
    """Stable Diffusion 1.5 with the motion adapter of version 3."""
    vae = {"block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
           "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2, "sample_size": 512}  # fmt: skip
    adapter = published._MOTION_V3 | ({"motion_layers_per_block": 1} if QUICK else {})
    return {
        "vae": net("AutoencoderKL", vae),
        "text_encoder": clip_large(),
        "tokenizer": tiny_text.clip_tokenizer(),
        "unet": net(
            "UNet2DConditionModel", {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
        ),
        "motion_adapter": net("MotionAdapter", adapter),
        "scheduler": scheduler("DDIMScheduler", beta_schedule="linear", clip_sample=False, steps_offset=1),
    }


def scheduler(name: str, **config: Any) -> Any:
    """A scheduler of diffusers."""
    import diffusers

    with torch.device("cpu"):  # schedulers work out their tables with numpy
        return getattr(diffusers, name)(**config)


def build_cogvideox(name: str, **changes: Any) -> dict[str, Any]:
    """One of the CogVideoX models."""
    config = {key: value for key, value in cogvideox.SCHEDULER.items() if not key.startswith("_")}
    return {
        **t5(),
        "vae": net("AutoencoderKLCogVideoX", cogvideox.VAE),
        "transformer": net("CogVideoXTransformer3DModel", {**cogvideox.NETS[name], **changes}),
        "scheduler": scheduler("CogVideoXDDIMScheduler", **config),
    }


def build_fun_control() -> dict[str, Any]:
    """CogVideoX-Fun 5B Control: the control clip's latents beside the noise."""
    return build_cogvideox("cogvideox-5b", in_channels=32)


def build_mochi() -> dict[str, Any]:
    """Mochi 1."""
    return {
        **t5(),
        "vae": net("AutoencoderKLMochi"),
        "transformer": net("MochiTransformer3DModel", published._MOCHI),
        "scheduler": scheduler("FlowMatchEulerDiscreteScheduler", invert_sigmas=True),
        "force_zeros_for_empty_prompt": False,
    }


def build_hunyuan() -> dict[str, Any]:
    """HunyuanVideo 1.0, text to video."""
    from transformers import LlamaConfig, LlamaModel

    llama = LlamaConfig(
        vocab_size=512, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=3, num_attention_heads=32,
        pad_token_id=2,
    )  # fmt: skip
    return {
        "text_encoder": LlamaModel(llama).eval(),
        "tokenizer": tiny_hunyuan.llama_tokenizer(),
        "text_encoder_2": clip_large(),
        "tokenizer_2": tiny_text.clip_tokenizer(),
        "transformer": net("HunyuanVideoTransformer3DModel", published._HUNYUAN),
        "vae": net("AutoencoderKLHunyuanVideo"),
        "scheduler": scheduler("FlowMatchEulerDiscreteScheduler", shift=7.0),
    }


def build_hunyuan15(target_size: int) -> dict[str, Any]:
    """HunyuanVideo 1.5, text to video."""
    return {
        "text_encoder": tiny_hunyuan15.qwen_encoder(3584, num_heads=28),
        "tokenizer": tiny_hunyuan15.qwen_tokenizer(),
        "text_encoder_2": t5(width=1472)["text_encoder"],
        "tokenizer_2": tiny_text.t5_tokenizer(),
        "transformer": net(
            "HunyuanVideo15Transformer3DModel", {"target_size": target_size, "task_type": "t2v"}
        ),
        "vae": net("AutoencoderKLHunyuanVideo15"),
        "scheduler": scheduler("FlowMatchEulerDiscreteScheduler", shift=5.0),
        "guider": scheduler("ClassifierFreeGuidance", guidance_scale=6.0),
    }


def build_wan(config: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """One of the Wan models with the VAE of Wan 2.1; another transformer in place of one of this configuration."""
    return {
        **t5("UMT5"),
        "vae": net("AutoencoderKLWan", exact=True),
        "scheduler": wan_scheduler(3.0),
        **({"transformer": net("WanTransformer3DModel", config)} if config else {}),
        **more,
    }


def wan_scheduler(shift: float) -> Any:
    """As in Wan's published folders."""
    return scheduler(
        "UniPCMultistepScheduler", prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def build_wan_image() -> dict[str, Any]:
    """Wan 2.1 14B, picture to video."""
    vision = clip_huge(projected=False)
    processor = tiny_text.clip_image_processor(224)
    return build_wan(published._WAN_I2V, image_encoder=vision, image_processor=processor)


def build_vace() -> dict[str, Any]:
    """Wan 2.1 VACE 1.3B, following a clip."""
    return build_wan(
        transformer=net("WanVACETransformer3DModel", published._WAN_VACE_1_3B), scheduler=wan_scheduler(16.0)
    )


def build_skyreels() -> dict[str, Any]:
    """SkyReels-V2 14B, text to video."""
    return build_wan(transformer=net("SkyReelsV2Transformer3DModel", published._SKYREELS))


def build_wan_5b() -> dict[str, Any]:
    """Wan 2.2 5B with its own VAE."""
    channels = published._WAN_5B["in_channels"]
    vae = {"base_dim": 160, "decoder_base_dim": 256, "z_dim": channels, "in_channels": 12, "out_channels": 12,
           "patch_size": 2, "is_residual": True, "scale_factor_spatial": 16, "latents_mean": [0.0] * channels,
           "latents_std": [1.0] * channels}  # fmt: skip
    return {
        **build_wan(published._WAN_5B),
        "vae": net("AutoencoderKLWan", vae, exact=True),
        "expand_timesteps": True,
    }


def build_sana() -> dict[str, Any]:
    """SANA-Video 2B; its text encoder in one layer of Gemma 2's width."""
    from transformers import Gemma2Config, Gemma2Model

    gemma = Gemma2Config(
        vocab_size=320, hidden_size=2304, intermediate_size=64, num_hidden_layers=1, num_attention_heads=8,
        num_key_value_heads=4, head_dim=256,
    )  # fmt: skip
    return {
        "text_encoder": Gemma2Model(gemma).eval(),
        "tokenizer": tiny_text.t5_tokenizer(4096),
        "vae": net("AutoencoderKLWan", exact=True),
        "transformer": net("SanaVideoTransformer3DModel", published._SANA_VIDEO),
        "scheduler": scheduler(
            "DPMSolverMultistepScheduler",
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=8.0,
        ),
    }


def build_ltx() -> dict[str, Any]:
    """LTX-Video 0.9."""
    config = {"use_dynamic_shifting": True, "base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024,
              "max_image_seq_len": 4096, "shift_terminal": 0.1}  # fmt: skip
    return {
        **t5(),
        "vae": net("AutoencoderKLLTXVideo", published._LTX_VAE),
        "transformer": net("LTXVideoTransformer3DModel", published._LTX),
        "scheduler": scheduler("FlowMatchEulerDiscreteScheduler", **config),
    }


def build_allegro() -> dict[str, Any]:
    """Allegro."""
    return {
        **t5(),
        "vae": net("AutoencoderKLAllegro", exact=True),
        "transformer": net("AllegroTransformer3DModel", published._ALLEGRO),
        "scheduler": scheduler("EulerAncestralDiscreteScheduler", beta_schedule="linear"),
    }


def build_opensora() -> dict[str, Any]:
    """Open-Sora 1.2, our port."""
    room = "vitascope.models.opensora"
    return {
        **t5(),
        "vae": net(f"{room}.autoencoder:AutoencoderKLOpenSora"),
        "transformer": net(f"{room}.stdit3:STDiT3"),
        "scheduler": import_class(f"{room}.scheduler:OpenSoraScheduler")(),
    }


def build_opensora_plan(release: str, **config: Any) -> dict[str, Any]:
    """Open-Sora-Plan 1.2 or 1.3, our port."""
    from vitascope.models.opensora_plan.releases import RELEASES

    with torch.device("cpu"):
        new_scheduler = RELEASES[release].new_scheduler()
    room = "vitascope.models"
    vaes = {
        "1.2": f"{room}.opensora_plan.causal_autoencoder:AutoencoderKLCausalVideo",
        "1.3": f"{room}.wf_vae.autoencoder:AutoencoderKLWFVAE",
    }
    return {
        **t5("MT5"),
        "vae": net(vaes[release]),
        "transformer": net(f"{room}.opensora_plan.transformer:OpenSoraPlanTransformer3DModel", config),
        "scheduler": new_scheduler,
        "release": release,
    }


# Open-Sora-Plan 1.2, 93 frames of 1280x720: latents of 24 x 90 x 160 in 4 channels, added-up rotary positions.
OPEN_SORA_PLAN_1_2 = {
    "in_channels": 4, "out_channels": 4, "sample_height": 90, "sample_width": 160, "sample_frames": 24,
    "sparse_stride": 1, "interpolation_scale_h": 3.0, "interpolation_scale_w": 4.0, "interpolation_scale_t": 1.5,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One model at one size."""

    generator: str
    model: str
    build: Callable[[], dict[str, Any]]
    quick: tuple[int, int, int]
    steps: int = 4
    vae_tiling: bool = False
    task: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """What the command line and the results call it."""
        return self.label or self.model


CASES = [
    Case("animatediff", "animatediff", build_animatediff, (64, 64, 4)),
    Case("svd", "svd-xt", build_svd, (64, 64, 4)),
    Case("svd", "exvideo", build_exvideo, (128, 128, 4), task={"num_frames": 64}, label="exvideo-64"),
    Case("svd", "exvideo", build_exvideo, (128, 128, 4), label="exvideo-128"),
    Case(
        "svd", "exvideo", build_exvideo, (128, 128, 4), label="exvideo-64-1024x576",
        task={"num_frames": 64, "width": 1024, "height": 576},
    ),
    Case("ltx", "ltx-video", build_ltx, (64, 64, 9)),
    Case("opensora", "open-sora-1.2", build_opensora, (64, 64, 17)),
    Case(
        "opensora", "open-sora-1.2", build_opensora, (64, 64, 17), label="open-sora-1.2-720p",
        task={"width": 1280, "height": 720},
    ),
    Case("opensora-plan", "open-sora-plan-1.3", lambda: build_opensora_plan("1.3"), (64, 64, 5)),
    Case("cogvideox", "cogvideox-2b", lambda: build_cogvideox("cogvideox-2b"), (64, 64, 9)),
    Case("cogvideox", "cogvideox-5b", lambda: build_cogvideox("cogvideox-5b"), (64, 64, 9)),
    Case("cogvideox-fun-control", "cogvideox-fun-5b-control", build_fun_control, (64, 64, 9)),
    Case("wan", "wan2.1-t2v-1.3b", lambda: build_wan(published._WAN_1_3B), (32, 32, 5)),
    Case("wan", "wan2.2-ti2v-5b", build_wan_5b, (64, 64, 5)),
    Case("mochi", "mochi-1", build_mochi, (32, 32, 7), 2, vae_tiling=True),
    Case(
        "opensora-plan", "open-sora-plan-1.2-93x720p", lambda: build_opensora_plan("1.2", **OPEN_SORA_PLAN_1_2),
        (64, 64, 5), 2, vae_tiling=True,
    ),
    Case(
        "cogvideox", "cogvideox-1.5-5b", lambda: build_cogvideox("cogvideox-1.5-5b"), (64, 64, 17), 2,
        vae_tiling=True,
    ),
    Case("wan", "wan2.1-i2v-14b-480p", build_wan_image, (32, 32, 5), 2),
    Case("wan", "wan2.1-t2v-14b", lambda: build_wan(published._WAN), (32, 32, 5), 2),
    Case("sana-video", "sana-video-2b-480p", build_sana, (32, 32, 5)),
    Case("wan-vace", "wan2.1-vace-1.3b", build_vace, (32, 32, 5)),
    Case("skyreels-v2", "skyreels-v2-t2v-14b-540p", build_skyreels, (32, 32, 5), steps=2),
    Case("hunyuan", "hunyuan-video", build_hunyuan, (32, 32, 5), 2, vae_tiling=True),
    Case(
        "hunyuan15", "hunyuan-video-1.5-480p-t2v", lambda: build_hunyuan15(640), (32, 32, 5), 2,
        vae_tiling=True,
    ),
    Case("allegro", "allegro", build_allegro, (320, 320, 24), 2, vae_tiling=True),
]  # fmt: skip


@dataclass
class Stopwatch:
    """When each step ended and what memory stood at most in each stage, saved at once: the run may be cut off."""

    cuda: bool
    row: dict[str, Any]
    save: Callable[[], None]
    _last: float = field(default_factory=time.perf_counter)

    def __call__(self, progress: Progress) -> None:
        """Called by the generator after every step, before decoding and after it."""
        if self.cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        took, self._last = now - self._last, now
        if progress.stage == "denoise":
            steps = self.row.setdefault("all_steps_s", [])
            steps.append(round(took, 3))
            self.row["step_s"] = round(statistics.median(steps[1:] or steps), 3)
            self._note("denoise")
        elif progress.stage == "decode" and progress.step:
            self.row["decode_s"] = round(took, 2)
            self._note("decode")
        elif progress.stage == "decode" and self.cuda:
            torch.cuda.reset_peak_memory_stats()
        self.save()

    def _note(self, stage: str) -> None:
        if self.cuda:
            peak = round(torch.cuda.max_memory_allocated() / GIB, 2)
            self.row.setdefault("peak_gib", {})[stage] = peak


def size_of(said: Mapping[str, Any], profile: Any) -> tuple[int, int, int]:
    """Height, width and channels of what is given."""
    return (said.get("height") or profile.height, said.get("width") or profile.width, 3)


def placed_modules(case: Case, pipeline: Any, placement: Placement, speed: str | None) -> LoadedPipeline:
    """As diffusers has it, in tiles where it must, or at one of our speeds."""
    if speed is not None:
        placement = placement.model_copy(update={"speed": speed})
        pipeline, levers = accelerated(pipeline, placement)
        return LoadedPipeline(pipeline, placement, "random", levers)
    slicing = case.generator == "allegro"
    placement = placement.model_copy(update={"vae_tiling": case.vae_tiling, "vae_slicing": slicing})
    return LoadedPipeline(place(pipeline, placement), placement, "random", Levers())


def measure(
    case: Case, placement: Placement, speed: str | None, row: dict[str, Any], save: Callable[[], None]
) -> None:
    """Build the model, make one clip, write into `row` what it took."""
    cuda = placement.device.startswith("cuda")
    generator = GENERATORS[case.generator].with_knobs(model=case.model, num_inference_steps=case.steps)
    started = time.perf_counter()
    with _default_dtype(getattr(torch, placement.dtype)), torch.device(placement.device):
        parts = case.build()
    profile = generator.profile()
    pipeline = import_class(generator.pipeline_for[profile.kinds[0]])(**parts)
    modules = placed_modules(case, pipeline, placement, speed)
    denoiser = getattr(pipeline, generator.denoiser)
    row["build_s"] = round(time.perf_counter() - started, 1)
    row["denoiser_parameters_b"] = round(sum(p.numel() for p in denoiser.parameters()) / 1e9, 3)
    said = dict(case.task)
    if QUICK:
        said = dict(zip(("width", "height", "num_frames"), case.quick, strict=True))
    said |= {"seed": 0}
    kind = next(kind for kind in generator.accepts if kind.kind == profile.kinds[0])
    if kind is ImageToVideo:
        size = size_of(said, profile)
        said["image"] = Image(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    if kind is VideoToVideo:
        shape = (said.get("num_frames") or profile.num_frames, *size_of(said, profile))
        said["video"] = Clip(np.random.default_rng(0).integers(0, 256, shape, np.uint8), profile.fps)
    if case.generator != "svd":
        said["prompt"] = PROMPT
    task = generator.complete(kind.of(**said))
    row |= {
        "size": [task.width, task.height, task.num_frames],
        "dtype": placement.dtype,
        "vae_tiling": modules.placement.vae_tiling,
        "levers": modules.levers.described(),
        "num_inference_steps": case.steps,
    }
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        row["weights_gib"] = round(torch.cuda.memory_allocated() / GIB, 2)
        torch.cuda.reset_peak_memory_stats()
    save()
    (clip,) = generator.generate([task], modules, Context(on_progress=Stopwatch(cuda, row, save)))
    frames = clip.array()
    row |= {
        "size": [clip.width, clip.height, len(frames)],
        "denoiser_calls_a_step": clip.recipe.stages[-1].notes["num_denoiser_calls"] / case.steps,
        "pixels_differ": bool(frames.std() > 0),
    }


def main() -> None:
    """Measure the models asked for, writing the results after every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="all if none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--speed", choices=("exact", "balanced", "turbo"), help="of ours")
    parser.add_argument("--steps", type=int, help="denoising steps, else a few")
    arguments = parser.parse_args()
    QUICK.update({"on": True} if arguments.quick else {})
    placement = Placement(device=arguments.device).resolve()
    cases = [case for case in CASES if not arguments.models or case.name in arguments.models]
    if arguments.steps:
        cases = [replace(case, steps=arguments.steps) for case in cases]
    if arguments.models:
        cases.sort(key=lambda case: arguments.models.index(case.name))
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name() if placement.device.startswith("cuda") else "cpu",
        "torch": torch.__version__,
        "rows": [],
    }

    def save() -> None:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    for case in cases:
        row: dict[str, Any] = {"model": case.name}
        result["rows"].append(row)
        try:
            measure(case, placement, arguments.speed, row, save)
        except Exception as error:  # one model that fails must not hide the others
            row["failed"] = f"{type(error).__name__}: {error}"[:600]
            if QUICK:
                raise
        print(json.dumps(row), flush=True)
        save()
        gc.collect()
        if placement.device.startswith("cuda"):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
