"""The GPU memory of a generation, part by part, from a model's sizes and measured rates."""

from __future__ import annotations

from vitascope.engine.memory import BYTES
from vitascope.engine.parallel.layout import SAMPLES_AT_ONCE
from vitascope.engine.planned_run import PlannedRun

TEXT_GIB = 0.12  # what reading a prompt takes beside the weights
# Tensors of all video tokens that stay on the GPU between steps.
KEPT_BY_CACHE = {"first-block": 5, "mag": 2, "taylor": 2}
PARTS = {"text": "text_encoder", "denoise": "denoiser", "decode": "vae"}


def peaks(run: PlannedRun) -> dict[str, float]:
    """Peak of each part: the weights that are on the GPU then, and what the part itself needs. Units: GiB."""
    precision = BYTES[run.placement.dtype] / 2  # of what was measured in 16 bits
    beside = {
        "text": TEXT_GIB * precision,
        "denoise": _denoising(run) * precision,
        "decode": _decoding(run) * (precision if run.sizes.vae_bytes is None else 1.0),
    }
    return {name: _weights_here(run, part) + beside[name] for name, part in PARTS.items()}


def _weights_here(run: PlannedRun, part: str) -> float:
    weights = run.weights_gib
    if run.placement.offload == "sequential":
        return 3 * weights[part] / run.sizes.num_layers
    if run.levers.offload == "blocks":  # which keep two places on the GPU; what is no block is half of one
        whole = run.sizes.weights_gib(run.placement.dtype)  # the first and the last block stay exact
        block = whole["denoiser"] / run.sizes.num_layers
        return 2.5 * block if part == "denoiser" else 2 * block + weights[part]
    in_turns = run.placement.offload == "model" or run.levers.offload == "turns"
    return weights[part] if in_turns else sum(weights.values())


def _denoising(run: PlannedRun) -> float:
    """A block's activations in 16-bit numbers, and what is kept from step to step."""
    rate = run.calibration.activation(run.sizes.family, run.levers, run.sizes.width)
    million = run.work.samples * run.work.tokens / 1e6
    exchanged = rate.exchange_gib_per_million_tokens if run.layout.sequence > 1 else 0.0
    each = (rate.gib_per_million_tokens + exchanged) * run.sizes.width / rate.width
    kept = 0.0
    if run.levers.cache is not None:
        kept = KEPT_BY_CACHE[run.levers.cache.kind] * million * 1e6 * run.sizes.width * 2 / 2**30
    arriving = 0.0
    if run.layout.ulysses > 1:  # where queries, keys, values and outputs of other ranks arrive
        samples = min(run.work.samples, SAMPLES_AT_ONCE)
        arriving = 4 * run.work.tokens * run.sizes.width * 2 * samples / 2**30
    return rate.fixed_gib + each * million + kept + arriving


def _decoding(run: PlannedRun) -> float:
    """What is decoded at once, in 16-bit numbers or the VAE's own, and the clip where it does not stream."""
    rate, width, height = run.decode, run.wanted.width, run.wanted.height
    if rate is None:
        return 0.0
    latent_frames = run.num_latent_frames
    each = (latent_frames % 2 and rate.odd_gib_per_megapixel) or rate.group_gib_per_megapixel
    at_once = min(width, rate.tile[0]) * min(height, rate.tile[1]) if rate.tile else width * height
    decoding = each * at_once / 1e6 * (latent_frames if rate.latent_frames_at_once else 1)
    if run.layout.world > 1 and rate.shared_s is not None:
        decoding /= run.layout.world
    # All frames, and once more put together.
    pixel_bytes = 3 * (run.sizes.vae_bytes or 2)
    clip = 0.0 if run.levers.vae == "stream" else 2 * pixel_bytes * run.wanted.megapixels * 1e6 / 2**30
    return decoding + clip
