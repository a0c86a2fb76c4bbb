"""A loaded pipeline, spread over the ranks of a mesh, and taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from vitascope.engine.attention import APPROXIMATE, best_exact, joined
from vitascope.engine.attention_processors import install
from vitascope.engine.denoisers import denoisers_of
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.plans import Installed, split
from vitascope.engine.parallel.rows import DecodingRows
from vitascope.engine.placement import Placement
from vitascope.engine.streaming_vae import CogVideoXStream, MochiStream
from vitascope.errors import RequestError


class Splittable(Protocol):
    """What the fleet asks of an item besides what every engine asks."""

    name: str
    splits: tuple[str, ...]

    def batches_guidance(self) -> bool:
        """Whether the denoiser sees the prompt and the negative prompt as two samples of one batch."""
        ...


@dataclass
class Spread:
    """How the denoiser of one pipeline is spread now."""

    layout: Layout
    installed: Installed


def layout_for(item: Splittable, num_heads: int | None, placement: Placement) -> Layout:
    """The layout of `placement.gpus` ranks for what `item` makes. Raises: RequestError."""
    return Layout.derived(
        placement.gpus,
        num_heads if "tokens" in item.splits else None,
        guided="guidance" in item.splits and item.batches_guidance(),
        cfg=placement.cfg_degree,
        ulysses=placement.ulysses_degree,
        ring=placement.ring_degree,
    )


def check_splittable(item: Any, gpus: int) -> None:
    """Raises: RequestError for an item that runs on one device alone."""
    if not getattr(item, "splits", ()):
        raise RequestError(f"{item.name} runs on one GPU, not on gpus={gpus}", param="gpus")


def spread(modules: Any, mesh: Mesh) -> None:
    """Let the denoisers of loaded modules share their work with the other ranks; again for another layout.

    Where the levers leave attention to the model, a split of tokens puts the best exact kernel in its place.
    Raises: RequestError for a denoiser that cannot be split so.
    """
    exact = best_exact(mesh.device, getattr(torch, modules.placement.dtype))
    mesh.layout.check_attention(modules.placement.attention, exact)
    if mesh.layout.ring > 1:
        modules.levers = modules.levers.exact_in_a_ring(exact)
    attention = modules.levers.attention
    kernel, edges = exact if attention == "model" else attention, exact if attention in APPROXIMATE else None
    for denoiser in denoisers_of(modules.pipeline):
        _spread(denoiser, mesh, kernel, edges)
    stream = getattr(getattr(modules.pipeline, "vae", None), "_vitascope_stream", None)
    one_by_one = modules.placement.offload == "sequential"  # its layers' forwards are wrapped already
    if isinstance(stream, MochiStream | CogVideoXStream) and not one_by_one:
        stream.share = DecodingRows(mesh.everyone)


def _spread(denoiser: Any, mesh: Mesh, kernel: str, edges: str | None) -> None:
    now: Spread | None = getattr(denoiser, "_vitascope_spread", None)
    if now is not None and now.layout == mesh.layout:
        return
    if now is not None:
        now.installed.remove()
    installed = split(denoiser, mesh, kernel, edges)
    if installed.joint is not None:
        install(denoiser, installed.joint, installed.edges)
    elif now is not None and now.installed.joint is not None:
        install(denoiser, joined(kernel), joined(edges) if edges else None)
    denoiser._vitascope_spread = Spread(mesh.layout, installed)
