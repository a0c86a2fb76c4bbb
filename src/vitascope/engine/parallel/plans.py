"""How each family of denoisers may be split, by the name of its class."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from vitascope.engine.attention import APPROXIMATE, JointAttend
from vitascope.engine.parallel.attention import RingAttend, SplitAttend, Tokens, on_one_device
from vitascope.engine.parallel.hooks import BatchSplit, TokenSplit
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.partial_attention import partial_attend
from vitascope.errors import RequestError


@dataclass(frozen=True)
class Plan:
    """How one family's denoiser splits: how many tokens an input has, and where its tokens and positions appear.

    `install` hooks in there, outside the blocks: a hook on one block would become part of the graph that all
    compiled blocks share.
    """

    num_tokens: Callable[[Any, Tensor], int]
    install: Callable[[Any, TokenSplit], list[RemovableHandle]]


def _mochi_tokens(config: Any, latents: Tensor) -> int:
    """Shape: (B, C, t, h, w)."""
    t, h, w = latents.shape[-3:]
    return int(t * (h // config.patch_size) * (w // config.patch_size))


def _split_mochi(denoiser: Any, split: TokenSplit) -> list[RemovableHandle]:
    def tokens(_module: Any, _args: Any, embedded: Tensor) -> Tensor:
        # (B * t, N / t, D). The forward unfolds the batch and folds frames into tokens; of one "frame" of these
        # tokens it makes what we want.
        return split.narrow(embedded.reshape(-1, split.tokens.total, embedded.shape[-1]), 1)

    return [
        denoiser.patch_embed.register_forward_hook(tokens),
        denoiser.rope.register_forward_hook(_tables(split, 0)),
    ]


def _cogvideox_tokens(config: Any, latents: Tensor) -> int:
    """Shape: (B, t, C, h, w)."""
    t, _, h, w = latents.shape[-4:]
    return int(-(-t // (config.patch_size_t or 1)) * (h // config.patch_size) * (w // config.patch_size))


def _split_cogvideox(denoiser: Any, split: TokenSplit) -> list[RemovableHandle]:
    def tokens(_module: Any, _args: Any, embedded: Tensor) -> Tensor:
        num_text = embedded.shape[1] - split.tokens.total
        return torch.cat([embedded[:, :num_text], split.narrow(embedded[:, num_text:], 1)], 1)

    def positions(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tables = kwargs.get("image_rotary_emb")
        if tables is not None:
            kwargs = {**kwargs, "image_rotary_emb": tuple(split.narrow(table, 0) for table in tables)}
        return args, kwargs

    return [
        denoiser.patch_embed.register_forward_hook(tokens),
        denoiser.register_forward_pre_hook(positions, with_kwargs=True),
    ]


def _wan_tokens(config: Any, latents: Tensor) -> int:
    """Shape: (B, C, t, h, w)."""
    sizes = zip(latents.shape[-3:], config.patch_size, strict=True)
    return math.prod(size // patch for size, patch in sizes)


def _split_wan(denoiser: Any, split: TokenSplit) -> list[RemovableHandle]:
    def tokens(_module: Any, _args: Any, embedded: Tensor) -> Tensor:
        # (B, D, t, h, w), which the forward makes flat
        return split.narrow(embedded.flatten(2), 2)[..., None, None]

    return [
        denoiser.patch_embedding.register_forward_hook(tokens),
        denoiser.rope.register_forward_hook(_tables(split, 1)),
        denoiser.register_forward_pre_hook(_timesteps(split), with_kwargs=True),
    ]


def _split_hunyuan_video(denoiser: Any, split: TokenSplit) -> list[RemovableHandle]:
    if denoiser.config.image_condition_type == "token_replace":
        raise RequestError(
            "gpus: this model treats the first frame's tokens apart, and they cannot be split over GPUs",
            param="gpus",
        )
    return [
        denoiser.x_embedder.register_forward_hook(_tokens(split)),
        denoiser.rope.register_forward_hook(_tables(split, 0)),
    ]


def _hunyuan_video_tokens(config: Any, latents: Tensor) -> int:
    """Shape: (B, C, t, h, w)."""
    t, h, w = latents.shape[-3:]
    return int((t // config.patch_size_t) * (h // config.patch_size) * (w // config.patch_size))


def _split_ltx(denoiser: Any, split: TokenSplit) -> list[RemovableHandle]:
    return [
        denoiser.proj_in.register_forward_hook(_tokens(split)),
        denoiser.rope.register_forward_hook(_tables(split, 1)),
        denoiser.register_forward_pre_hook(_timesteps(split), with_kwargs=True),
    ]


def _tokens(split: TokenSplit) -> Callable[[Any, Any, Tensor], Tensor]:
    """A hook that keeps this rank's part of embedded tokens (B, N, D)."""
    return lambda _module, _args, embedded: split.narrow(embedded, 1)


def _tables(split: TokenSplit, dim: int) -> Callable[[Any, Any, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """A hook that keeps the rotary angles of this rank's tokens."""
    return lambda _module, _args, tables: tuple(split.narrow(table, dim) for table in tables)


def _timesteps(split: TokenSplit) -> Callable[[Any, Any, dict[str, Any]], Any]:
    """A hook that keeps the timesteps of this rank's tokens, where each token has its own: (B, N), not (B,)."""

    def narrow(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        timestep = kwargs["timestep"]
        if timestep.ndim == 2 and timestep.shape[1] == split.tokens.total:
            kwargs = {**kwargs, "timestep": split.narrow(timestep, 1)}
        return args, kwargs

    return narrow


PLANS: dict[str, Plan] = {
    "MochiTransformer3DModel": Plan(_mochi_tokens, _split_mochi),
    "CogVideoXTransformer3DModel": Plan(_cogvideox_tokens, _split_cogvideox),
    "WanTransformer3DModel": Plan(_wan_tokens, _split_wan),
    "HunyuanVideoTransformer3DModel": Plan(_hunyuan_video_tokens, _split_hunyuan_video),
    "LTXVideoTransformer3DModel": Plan(lambda _config, latents: int(latents.shape[1]), _split_ltx),
}


@dataclass
class Installed:
    """Hooks on a denoiser, and how its blocks must attend with them.

    `joint` is None where the tokens stay whole, and the blocks attend as on one device. `edges`: for the first
    and last blocks, where they attend exactly and the others do not.
    """

    hooks: list[RemovableHandle]
    joint: JointAttend | None = None
    edges: JointAttend | None = None

    def remove(self) -> None:
        """Take the hooks away; the blocks still use `joint` until told otherwise."""
        for hook in self.hooks:
            hook.remove()


def split(denoiser: Any, mesh: Mesh, kernel: str, edge_kernel: str | None = None) -> Installed:
    """Install the hooks of `mesh` on a denoiser. `kernel`: the attention kernel of its blocks.

    Raises: RequestError for a family that says nothing of how its tokens are split, or a kernel that cannot.
    """
    layout = mesh.layout
    installed = _split_tokens(denoiser, mesh, kernel, edge_kernel) if layout.sequence > 1 else Installed([])
    if layout.cfg > 1:
        installed.hooks += BatchSplit(mesh.cfg).install(denoiser)
    return installed


def _split_tokens(denoiser: Any, mesh: Mesh, kernel: str, edge_kernel: str | None) -> Installed:
    plan, layout = PLANS.get(type(denoiser).__name__), mesh.layout
    if plan is None:
        raise RequestError(
            f"the tokens of {type(denoiser).__name__} cannot be split over GPUs; those of "
            f"{', '.join(sorted(PLANS))} can",
            param="gpus",
        )
    if layout.ring > 1 and kernel in APPROXIMATE:
        raise RequestError(
            f"attention={kernel!r} cannot go around a ring of {layout.ring}; use ulysses_degree, or "
            "attention='fa3'",
            param="ring_degree",
        )
    tokens = Tokens()
    token_split = TokenSplit(mesh.sequence, tokens)

    def count(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        latents = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        tokens.total = plan.num_tokens(denoiser.config, latents)
        if tokens.total < layout.sequence:
            here = "1 token" if tokens.total == 1 else f"{tokens.total} tokens"
            raise RequestError(f"gpus: {here} cannot be shared by {layout.sequence} ranks", param="gpus")

    hooks = [denoiser.register_forward_pre_hook(count, with_kwargs=True)]
    hooks += plan.install(denoiser, token_split)
    hooks.append(token_split.after_projection(denoiser.proj_out))

    def attends(name: str) -> JointAttend:
        one = RingAttend(mesh, tokens, partial_attend) if layout.ring > 1 else on_one_device(name)
        # FlashAttention-3 keeps every multiprocessor to its end, so that no collective runs beside it.
        halves = layout.ring == 1 and (mesh.carrier.prefers_halves or name in APPROXIMATE)
        return SplitAttend(mesh, tokens, one, mesh.carrier, halves)

    return Installed(hooks, attends(kernel), attends(edge_kernel) if edge_kernel else None)
