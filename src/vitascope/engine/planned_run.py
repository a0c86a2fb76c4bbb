"""What a plan is about: a model, a clip and a placement, with the levers and the layout that they come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from vitascope.engine.calibration import Calibration, Decode, StepRate
from vitascope.engine.lever_limits import HALF
from vitascope.engine.levers import Levers, decide
from vitascope.engine.memory import BYTES
from vitascope.engine.parallel.layout import Layout, shares
from vitascope.engine.placement import Placement
from vitascope.engine.subject import CUDNN_FIRST, Gpu, Subject
from vitascope.engine.workload import Architecture, StepWork, Wanted


@dataclass(frozen=True)
class PlannedRun:
    """One clip, to be made on GPUs like `gpu` (None: the CPU). Units: weights in GiB.

    `work` is what the busiest GPU does when it is asked once; `device` the calibrated one, None for another.
    """

    sizes: Architecture
    wanted: Wanted
    placement: Placement
    gpu: Gpu | None
    calibration: Calibration
    device: str | None
    levers: Levers
    layout: Layout
    num_tokens: int
    work: StepWork
    weights_gib: dict[str, float]

    @classmethod
    def of(
        cls,
        sizes: Architecture,
        wanted: Wanted,
        placement: Placement,
        gpu: Gpu | None,
        calibration: Calibration,
        splits: tuple[str, ...],
    ) -> Self:
        """Raises: as `levers.decide` and `Layout.derived`."""
        levers = decide(subject_of(sizes, placement.dtype), placement, gpu)
        if placement.vae_tiling:
            levers = levers.model_copy(update={"vae_tiling": True})
        layout = _layout(sizes, wanted, placement, splits)
        layout.check_attention(placement.attention, _exact(gpu, placement.dtype))
        if layout.ring > 1:
            levers = levers.exact_in_a_ring(_exact(gpu, placement.dtype))
        tokens = sizes.num_tokens(wanted.width, wanted.height, wanted.num_frames)
        work = StepWork.of(
            sizes,
            tokens,
            samples=(2 if wanted.guided else 1) // layout.cfg,
            sequence=layout.sequence,
            heads_share=shares(sizes.num_heads, layout.ulysses)[0] / sizes.num_heads / layout.ring,
            prompt_tokens=wanted.prompt_tokens,
        )
        return cls(
            sizes=sizes,
            wanted=wanted,
            placement=placement,
            gpu=gpu,
            calibration=calibration,
            device=calibration.device_called(gpu.name) if gpu else "CPU",
            levers=levers,
            layout=layout,
            num_tokens=tokens,
            work=work,
            weights_gib=_weights(sizes, placement, levers),
        )

    @property
    def exact_levers(self) -> Levers:
        """The levers of steps that attend exactly."""
        if self.gpu is None or not self.levers.approximate_attention:
            return self.levers
        return self.levers.model_copy(update={"attention": _exact(self.gpu, self.placement.dtype)})

    def rate(self, levers: Levers | None = None) -> StepRate | None:
        """How fast steps run under these levers (None: the run's); None if never measured on this device."""
        if self.placement.offload != "none":  # diffusers' offloading was never timed
            return None
        device, sizes = self.device or "", self.sizes
        return self.calibration.step(device, sizes.family, levers or self.levers, sizes.width)

    @property
    def decode(self) -> Decode | None:
        """How the VAE decodes; None if that was never measured."""
        way = "tiles" if self.levers.vae_tiling else self.levers.vae
        return self.calibration.decode(self.sizes.family, way)

    @property
    def num_latent_frames(self) -> int:
        """Latent frames of the clip."""
        return self.sizes.num_latent_frames(self.wanted.num_frames)

    @property
    def step_flop(self) -> float:
        """One step, on all GPUs together."""
        samples = (2 if self.wanted.guided else 1) * self.wanted.num_calls
        work = StepWork.of(
            self.sizes, self.num_tokens, samples=samples, prompt_tokens=self.wanted.prompt_tokens
        )
        return work.linears + work.attention


def _weights(sizes: Architecture, placement: Placement, levers: Levers) -> dict[str, float]:
    """GiB of each part as it is on the GPU: a text encoder may be elsewhere, or in 8 bits."""
    weights = sizes.weights_gib(placement.dtype, fp8=levers.linears == "fp8")
    if placement.text_encoder_device is not None:
        return {**weights, "text_encoder": 0.0}
    if placement.text_encoder_precision == "int8":
        return {**weights, "text_encoder": weights["text_encoder"] / BYTES[placement.dtype]}
    return weights


def _exact(gpu: Gpu | None, dtype: str) -> str:
    """As `attention.best_exact`, of a GPU that need not be here."""
    if gpu is None or dtype not in HALF:
        return "sdpa"
    if gpu.fa3 and dtype == "bfloat16":
        return "fa3"
    return "cudnn" if gpu.capability in CUDNN_FIRST else "sdpa"


def subject_of(sizes: Architecture, dtype: str) -> Subject:
    """What the levers must know of a model."""
    weights = sizes.weights_gib(dtype)
    return Subject(
        transformer=sizes.transformer,
        vae=sizes.vae,
        num_parameters=sizes.billions.denoiser * 1e9,
        head_dim=sizes.head_dim,
        fp8_parameters=sizes.fp8_billions * 1e9,
        parts_gib={
            "transformer": weights["denoiser"],
            "text_encoder": weights["text_encoder"],
            "vae": weights["vae"],
        },
    )


def _layout(sizes: Architecture, wanted: Wanted, placement: Placement, splits: tuple[str, ...]) -> Layout:
    return Layout.derived(
        placement.gpus,
        sizes.num_heads if "tokens" in splits else None,
        guided=wanted.guided and "guidance" in splits,
        cfg=placement.cfg_degree,
        ulysses=placement.ulysses_degree,
        ring=placement.ring_degree,
    )
