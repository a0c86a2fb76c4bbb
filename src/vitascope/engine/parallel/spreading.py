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


def spread(pipeline: Any, mesh: Mesh) -> None:
    """Let the pipeline's denoiser share its work with the other ranks; again for another layout.

    Raises: RequestError for a denoiser that cannot be split so.
    """
    denoiser = pipeline.transformer
    now: Spread | None = getattr(denoiser, "_vitascope_spread", None)
    if now is not None and now.layout == mesh.layout:
        return
    alone = None if now is None else now.installed.alone
    if now is not None:
        now.installed.remove()
    if alone is None and mesh.layout.sequence > 1:
        alone = _joint_of(denoiser)
    installed = split(denoiser, mesh, alone)
    if installed.joint is not None:
        install(denoiser, installed.joint)
    denoiser._vitascope_spread = Spread(mesh.layout, installed)


def _joint_of(denoiser: Any) -> Any:
    """The joint attention that the placement chose, or the best exact one."""
    blocks = getattr(denoiser, "transformer_blocks", None)
    processor = getattr(getattr(blocks[0] if blocks else None, "attn1", None), "processor", None)
    return getattr(processor, "joint", None) or joined(best_exact(denoiser.device, denoiser.dtype))
