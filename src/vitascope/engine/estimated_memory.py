"""The GPU memory of a generation, part by part, from a model's sizes and measured rates."""

from __future__ import annotations

from vitascope.engine.calibration import Calibration, Decode
from vitascope.engine.levers import Levers
from vitascope.engine.memory import BYTES
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.placement import Placement
from vitascope.engine.workload import Architecture, StepWork, Wanted

TEXT_GIB = 0.12  # what reading a prompt takes beside the weights
KEPT_BY_CACHE = {"first-block": 5, "mag": 2, "taylor": 2}


def decode_rate(sizes: Architecture, levers: Levers, calibration: Calibration) -> Decode | None:
    """How the model's VAE decodes under these levers; None if never measured so."""
    return calibration.decode(sizes.family, "tiles" if levers.vae_tiling else levers.vae)


def _decoding_gib(
    sizes: Architecture, wanted: Wanted, levers: Levers, layout: Layout, rate: Decode | None
) -> float:
    """Beside the weights, in 16-bit numbers or the VAE's own: what is decoded at once, and the clip if not streamed."""
    if rate is None:
        return 0.0
    width, height = wanted.width, wanted.height
    latent_frames = sizes.num_latent_frames(wanted.num_frames)
    each = (latent_frames % 2 and rate.odd_gib_per_megapixel) or rate.group_gib_per_megapixel
    at_once = min(width, rate.tile[0]) * min(height, rate.tile[1]) if rate.tile else width * height
    decoding = each * at_once / 1e6 * (latent_frames if rate.latent_frames_at_once else 1)
    if layout.world > 1 and rate.shared_s is not None:
        decoding /= layout.world
    # All frames, and once more put together.
    pixel = 3 * (sizes.vae_bytes or 2)
    clip = 0.0 if levers.vae == "stream" else 2 * pixel * width * height * wanted.num_frames / 2**30
    return decoding + clip


def _denoising_gib(
    sizes: Architecture, levers: Levers, work: StepWork, layout: Layout, calibration: Calibration
) -> float:
    """Beside the weights, in 16-bit numbers: a block's activations, and what is kept from step to step."""
    rate = calibration.activation(sizes.family, levers, sizes.width)
    million = work.samples * work.tokens / 1e6
    each = rate.gib_per_million_tokens + (
        rate.exchange_gib_per_million_tokens if layout.sequence > 1 else 0.0
    )
    denoising = rate.fixed_gib + each * million * sizes.width / rate.width
    if levers.cache is not None:
        denoising += KEPT_BY_CACHE[levers.cache.kind] * million * 1e6 * sizes.width * 2 / 2**30
    return denoising


def peaks(
    sizes: Architecture,
    wanted: Wanted,
    levers: Levers,
    placement: Placement,
    work: StepWork,
    layout: Layout,
    weights: dict[str, float],
    calibration: Calibration,
) -> dict[str, float]:
    """Peak of each part: the weights that are on the GPU then, and what the part itself needs."""
    decode = decode_rate(sizes, levers, calibration)
    working = {
        "text": TEXT_GIB,
        "denoise": _denoising_gib(sizes, levers, work, layout, calibration),
        "decode": _decoding_gib(sizes, wanted, levers, layout, decode),
    }
    parts = {"text": "text_encoder", "denoise": "denoiser", "decode": "vae"}
    block = sizes.weights_gib(placement.dtype)["denoiser"] / sizes.num_layers  # the first and last stay exact

    def weights_here(part: str) -> float:
        if placement.offload == "sequential":
            return 3 * weights[part] / sizes.num_layers
        if levers.offload == "blocks":  # which keep two places on the GPU; what is no block is half of one
            return 2.5 * block if part == "denoiser" else 2 * block + weights[part]
        in_turns = placement.offload == "model" or levers.offload == "turns"
        return weights[part] if in_turns else sum(weights.values())

    precision = dict.fromkeys(parts, BYTES[placement.dtype] / 2)
    if sizes.vae_bytes is not None:
        precision["decode"] = 1.0
    return {name: weights_here(part) + working[name] * precision[name] for name, part in parts.items()}
