"""A loaded pipeline, spread over the ranks of a mesh, and taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from vitascope.engine.attention import best_exact, joined
from vitascope.engine.attention_processors import install
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.plans import Installed, split
from vitascope.engine.placement import Placement
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


def spread(pipeline: Any, mesh: Mesh, attention: str) -> None:
    """Let the pipeline's denoiser share its work with the other ranks; again for another layout.

    `attention`: the kernel that the levers chose; "model" where they left it to the model, whose place a split
    of tokens then takes with the best exact one.
    Raises: RequestError for a denoiser that cannot be split so.
    """
    denoiser = pipeline.transformer
    now: Spread | None = getattr(denoiser, "_vitascope_spread", None)
    if now is not None and now.layout == mesh.layout:
        return
    if now is not None:
        now.installed.remove()
    kernel = attention
    if kernel == "model" and mesh.layout.sequence > 1:
        kernel = best_exact(denoiser.device, denoiser.dtype)
    installed = split(denoiser, mesh, kernel)
    if installed.joint is not None:
        install(denoiser, installed.joint)
    elif now is not None and now.installed.joint is not None:
        install(denoiser, joined(best_exact(denoiser.device, denoiser.dtype) if kernel == "model" else kernel))
    denoiser._vitascope_spread = Spread(mesh.layout, installed)
