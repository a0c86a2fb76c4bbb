"""Attention over a part of the keys, with the log-sum-exp from which such parts are merged exactly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vitascope.engine.attention import best_exact

# (query, key, value), each (B, L, H, D) -> output (B, L, H, D) and log-sum-exp (B, H, L)
PartialAttend = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def partial_attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Attend by the fastest kernel here that gives the log-sum-exp: FlashAttention-3, cuDNN, or the CPU's own."""
    kernel = best_exact(query.device, query.dtype)
    if kernel == "fa3":
        out, lse, *_ = torch.ops.fa3_fwd.fwd(query, key, value, num_splits=1)
        return out, lse
    q, k, v = (tensor.transpose(1, 2) for tensor in (query, key, value))
    if not query.is_cuda:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
    elif kernel == "cudnn":
        out, lse, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, True)
    else:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)
    return out.transpose(1, 2), lse.reshape(query.shape[0], query.shape[2], -1)


def merged(out: Tensor | None, lse: Tensor | None, part: Tensor, part_lse: Tensor) -> tuple[Tensor, Tensor]:
    """What attention over both sets of keys would have given, in float32.

    Source: Milakov and Gimelshein, https://arxiv.org/abs/1805.02867 (online softmax).
    """
    part, part_lse = part.float(), part_lse.float()
    if out is None or lse is None:
        return part, part_lse
    weight = torch.sigmoid(part_lse - lse).transpose(1, 2).unsqueeze(-1)
    return torch.lerp(out, part, weight), torch.logaddexp(lse, part_lse)
