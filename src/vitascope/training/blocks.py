"""Run a denoiser's blocks in training: with activation checkpointing, compiled, sharded among GPUs (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from vitascope.engine.attention import cuda_capability
from vitascope.engine.subject import CUDNN_FIRST

Recompute = Literal["none", "attention", "full"]

_ATTENTION = tuple(
    getattr(torch.ops.aten, name).default
    for name in (
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
    )
    if hasattr(torch.ops.aten, name)
)


def blocks_of(net: Any) -> list[nn.Module]:
    """The repeated blocks of a denoiser, in order: the members of its lists that diffusers calls indivisible."""
    kinds = set(getattr(net, "_no_split_modules", None) or ())
    lists = [module for module in net.modules() if isinstance(module, nn.ModuleList)]
    return [block for blocks in lists for block in blocks if type(block).__name__ in kinds]


def _keep_attention(_context: Any, operator: Any, *_args: Any, **_kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operator in _ATTENTION else CheckpointPolicy.PREFER_RECOMPUTE


def _keeping_attention() -> Any:
    return create_selective_checkpoint_contexts(_keep_attention)


def recompute(blocks: list[nn.Module], what: Recompute, *, compiled: bool) -> None:
    """Run blocks so that the backward pass recomputes what the forward pass did not keep; compile them if asked.

    "attention" keeps the results of attention, whose cost grows with the square of the length, and recomputes
    the rest; "full" keeps a block's input alone.
    """
    if compiled:
        torch._dynamo.config.cache_size_limit = max(64, torch._dynamo.config.cache_size_limit)
    for block in blocks:
        run: Callable[..., Any] = block.forward
        if what == "attention":
            run = _recomputing(run, context_fn=_keeping_attention)
            block.forward = torch.compile(run) if compiled else run
        elif what == "full":
            block.forward = _recomputing(torch.compile(run) if compiled else run)
        elif compiled:
            block.forward = torch.compile(run)


def _recomputing(run: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    # A function of our own, since the compiler does not look into a functools.partial of torch's.
    def forward(*args: Any, _run: Callable[..., Any] = run, _options: Any = options, **kwargs: Any) -> Any:
        return checkpoint(_run, *args, use_reentrant=False, **_options, **kwargs)

    return forward


@contextmanager
def fast_attention() -> Iterator[None]:
    """Prefer cuDNN's attention, whose backward pass is the fastest on Hopper; elsewhere torch's own choice."""
    if not torch.cuda.is_available() or cuda_capability("cuda") not in CUDNN_FIRST:
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = [
        SDPBackend.CUDNN_ATTENTION,
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.MATH,
    ]
    with sdpa_kernel(order, set_priority=True):
        yield


def shard(blocks: list[nn.Module], trained: list[nn.Parameter]) -> None:
    """Split the frozen weights of the blocks among all processes; each block is gathered when it runs.

    The adapter stays whole on each process, its gradients averaged by the loop. Source: torch's FSDP2.
    """
    from torch.distributed.fsdp import fully_shard

    adapter = set(trained)
    for block in blocks:
        # Each is a root of its own here, and a root would else stay gathered between forward and backward pass.
        fully_shard(block, ignored_params=adapter, reshard_after_forward=True)
