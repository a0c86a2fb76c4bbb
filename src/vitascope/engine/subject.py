"""What decides the levers: of a model and of a GPU, which need not be here."""

from __future__ import annotations

import importlib.util
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vitascope.engine.denoisers import BLOCKS, blocks_of
from vitascope.engine.memory import GIB
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError

HOPPER = (9, 0)
# Where torch itself puts cuDNN's attention first: not on newer GeForce cards, for some of which cuDNN has no plan.
# Source: https://github.com/pytorch/pytorch/pull/162073
CUDNN_FIRST = (HOPPER, (10, 0))


class Gpu(BaseModel):
    """What of a CUDA device decides the levers. Units: memory in GiB."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    capability: tuple[int, int]
    memory_gib: float
    fa3: bool
    int8: bool = False  # whether our 8-bit attention kernel can be built
    triton: bool = True  # which compiled blocks are written in
    c_compiler: bool = True  # which builds what starts Triton's kernels
    amd: bool = False  # ROCm: torch calls it "cuda", and its own numbers are no CUDA capability
    sage: str | None = (
        "SageAttention2 is looked for on the machine that runs"  # what it lacks; None: it is here
    )

    @classmethod
    def here(cls, device: str) -> Gpu | None:
        """The GPU called `device` on this machine; None for another kind of device."""
        import torch

        if not device.startswith("cuda"):
            return None
        from vitascope.engine.attention import cuda_capability, has_fa3, has_int8, sage_lacks
        from vitascope.engine.compile import compiler_for

        found = torch.cuda.get_device_properties(device)
        capability = cuda_capability(device)
        return cls(
            name=found.name,
            capability=capability,
            memory_gib=found.total_memory / GIB,
            fa3=capability == HOPPER and has_fa3(),
            int8=capability == HOPPER and has_int8(),
            triton=importlib.util.find_spec("triton") is not None,
            c_compiler=compiler_for(device) is not None,
            amd=torch.version.hip is not None,
            sage=sage_lacks(),
        )


class Subject(BaseModel):
    """What of a model decides the levers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transformer: str
    vae: str
    num_parameters: float
    head_dim: int = 0
    fp8_parameters: float = 0.0  # those in linears that fp8 can halve
    quantized: bool = False  # its weights came in few bits (GGUF, bitsandbytes)
    has_text_encoder: bool = True
    parts_gib: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def of(cls, pipeline: Any) -> Subject:
        """The subject that a loaded pipeline is."""
        from vitascope.engine.quantize import num_fp8_parameters

        transformer: Any = getattr(pipeline, "transformer", None)
        name = type(transformer).__name__
        quantized = getattr(transformer, "hf_quantizer", None) is not None
        shrinkable = name in BLOCKS and not quantized
        parts = {
            # A text encoder that is not loaded yet says what it will take.
            part: getattr(module, "pending_gib", None)
            or sum(p.numel() * p.element_size() for p in module.parameters()) / GIB
            for part, module in pipeline.components.items()
            if hasattr(module, "parameters")
        }
        return cls(
            transformer=name,
            vae=type(getattr(pipeline, "vae", None)).__name__,
            num_parameters=sum(p.numel() for p in transformer.parameters()) if transformer is not None else 0,
            head_dim=transformer.config.attention_head_dim if name in BLOCKS else 0,
            fp8_parameters=num_fp8_parameters(blocks_of(transformer)) if shrinkable else 0,
            quantized=quantized,
            has_text_encoder=any(part.startswith("text_encoder") for part in parts),
            parts_gib=parts,
        )

    def check_parts(self, placement: Placement) -> None:
        """See that nothing is asked of a part that the model has not. Raises: RequestError."""
        no_text_encoder = None if self.has_text_encoder else "text encoder"
        no_vae = "VAE" if self.vae == "NoneType" else None
        asked = {
            "text_encoder_device": (placement.text_encoder_device, no_text_encoder),
            "text_encoder_precision": (placement.text_encoder_precision != "full", no_text_encoder),
            "vae_tiling": (placement.vae_tiling, no_vae),
        }
        for name, (given, lacking) in asked.items():
            if given and lacking:
                raise RequestError(
                    f"{name}={getattr(placement, name)!r} has no effect on a model without a {lacking}; leave it out",
                    param=name,
                )

    def denoiser_gib(self, linears: str) -> float:
        """The transformer's weights with these linears."""
        saved = self.fp8_parameters / GIB if linears == "fp8" else 0.0
        return self.parts_gib.get("transformer", 0.0) - saved


# Of what runs no network.
NOTHING = Subject(transformer="NoneType", vae="NoneType", num_parameters=0, has_text_encoder=False)
