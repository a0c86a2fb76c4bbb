"""Exact attention by the fastest kernel that is here, and the two doors that other engine rooms build on.

`Attend` works on plain tensors; `JointAttend` works on video and text tokens side by side, which is the door that
several GPUs replace. Both are opaque to `torch.compile` (one custom operator), so that a compiled block is
the same for every prompt: how many text tokens are valid comes in as a small CPU tensor that is read on the
host, without waiting for the GPU.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from vitascope.engine.subject import CUDNN_FIRST, HOPPER

FEW_KEYS = 128  # not one block of our 8-bit kernel, which gains nothing then
SAGE = "https://github.com/thu-ml/SageAttention"


class QKV(NamedTuple):
    """Queries, keys and values of the same tokens. Shape: each (B, L, H, D)."""

    query: Tensor
    key: Tensor
    value: Tensor


class Attend(Protocol):
    """Softmax attention without a mask: every query sees every key.

    Shape: each (B, L, H, D) -> (B, L, H, D), contiguous.
    """

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The attended values."""
        ...


class JointAttend(Protocol):
    """Attention of video and text tokens over both together.

    `text_lengths` is a CPU int64 tensor of shape (B,): how many text tokens of each sample are valid (they
    come first); None means all. Text outputs beyond it are zeros.
    """

    def __call__(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """The attended video and text values. Shape: (B, N, H, D), (B, L, H, D)."""
        ...


# A kernel writes into `out`, which may be a view with gaps between samples.
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor], None]


def _fa3(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    import fa3_fwd._C  # noqa: F401  registers the operator; at hand after the first time

    torch.ops.fa3_fwd.fwd(query, key, value, out=out, num_splits=1)


def _sdpa(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    q, k, v = (tensor.transpose(1, 2) for tensor in (query, key, value))
    out.copy_(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2))


def _cudnn(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH], True):
        _sdpa(query, key, value, out)


def _int8(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    if key.shape[1] < FEW_KEYS:
        _sdpa(query, key, value, out)
        return
    from vitascope.engine.int8_attention import int8_attention  # triton is on GPU machines only

    int8_attention(query, key, value, out)


def _sage(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    from sageattention import sageattn

    out.copy_(sageattn(query, key, value, tensor_layout="NHD", is_causal=False))


KERNELS: dict[str, Kernel] = {"fa3": _fa3, "cudnn": _cudnn, "sdpa": _sdpa, "int8": _int8, "sage": _sage}
APPROXIMATE = ("int8", "sage")
_here = threading.local()


@contextmanager
def exactly() -> Iterator[None]:
    """While it lasts, the best exact kernel runs in this thread where an approximate one was chosen.

    Read as each attention runs, so compiled blocks stay as they are.
    """
    before = getattr(_here, "exactly", False)
    _here.exactly = True
    try:
        yield
    finally:
        _here.exactly = before


def _kernel_now(name: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    if name in APPROXIMATE and getattr(_here, "exactly", False):
        name = best_exact(device, dtype)
    return KERNELS[name]


def cuda_capability(device: torch.device | str) -> tuple[int, int]:
    """The capability of an NVIDIA GPU; (0, 0) on ROCm, whose numbers mean something else."""
    return (0, 0) if torch.version.hip is not None else torch.cuda.get_device_capability(device)


def best_exact(device: torch.device | str, dtype: torch.dtype = torch.bfloat16) -> str:
    """The name of the fastest kernel on `device` that changes nothing beyond rounding.

    On Hopper: FlashAttention-3 where `fa3-fwd` is installed, else cuDNN, as on a B200; FlashAttention-2, which
    torch may pick there, was measured 1.3 times slower than cuDNN. Elsewhere torch's own choice.
    """
    device = torch.device(device)
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return "sdpa"
    capability = cuda_capability(device)
    if capability == HOPPER and dtype == torch.bfloat16 and has_fa3():
        return "fa3"
    return "cudnn" if capability in CUDNN_FIRST else "sdpa"


@cache
def has_fa3() -> bool:
    """Whether FlashAttention-3's forward kernels (PyPI `fa3-fwd`) are installed and load."""
    if importlib.util.find_spec("fa3_fwd") is None:
        return False
    import fa3_fwd._C  # noqa: F401  registers torch.ops.fa3_fwd

    return True


@cache
def sage_lacks() -> str | None:
    """What is missing for SageAttention2; None where it is installed and loads. PyPI has its version 1 alone."""
    try:
        installed = metadata.version("sageattention")
        import sageattention
    except ImportError as error:  # PackageNotFoundError is one too; so is a build for another torch
        why = (
            "is not installed"
            if isinstance(error, metadata.PackageNotFoundError)
            else f"does not load ({error})"
        )
        return f"the package sageattention {why}; build version 2 from {SAGE}"
    if int(installed.partition(".")[0]) < 2 or not hasattr(sageattention, "sageattn"):
        return f"sageattention {installed} is too old; build version 2 from {SAGE}"
    return None


@cache
def has_int8() -> bool:
    """Whether this Triton has what our 8-bit kernel is written in (Gluon, as of Triton 3.6; part of torch on CUDA)."""
    try:
        import vitascope.engine.int8_attention
    except (ImportError, AttributeError):
        return False
    return bool(vitascope.engine.int8_attention)


@cache
def works(kernel: str, device: torch.device, dtype: torch.dtype = torch.bfloat16, width: int = 128) -> bool:
    """Whether a kernel attends here as it should: tried once a process on a few tokens.

    Of use for those in 8 bits: Gluon, which ours is written in, is young and changes (it was measured with Triton
    3.6); SageAttention2 is built for one kind of GPU and one torch.
    """
    drawn = torch.Generator(device).manual_seed(0)
    query, key, value = torch.randn(
        3, 1, 1500, 1, width, generator=drawn, device=device, dtype=dtype
    ).unbind()
    expected, found = torch.empty_like(query), torch.empty_like(query)
    _sdpa(query, key, value, expected)
    try:
        KERNELS[kernel](query, key, value, found)
        return bool((found - expected).float().norm() < 0.1 * expected.float().norm())
    except Exception:  # noqa: BLE001  whatever a compiler says of a language that moved on, or a package of a GPU
        return False


@torch.library.custom_op("vitascope::attend", mutates_args=())
def _attend(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, besides: int, kernel: str
) -> Tensor:
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    run = _kernel_now(kernel, query.device, query.dtype)
    if lengths is None:
        run(query, key, value, out)
        return out
    for sample, length in enumerate(lengths.tolist()):
        valid = (slice(sample, sample + 1), slice(0, besides + length))
        run(query[valid], key[valid], value[valid], out[valid])
        out[sample, besides + length :].zero_()
    return out


@_attend.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, besides: int, kernel: str) -> Tensor:
    del key, value, lengths, besides, kernel
    return torch.empty(query.shape, dtype=query.dtype, device=query.device)


def attend(
    query: Tensor, key: Tensor, value: Tensor, kernel: str, lengths: Tensor | None = None, besides: int = 0
) -> Tensor:
    """Attention by the kernel of this name, each sample among its first `besides` + `lengths` tokens alone.

    `lengths` is a CPU int64 tensor of shape (B,) or None for all tokens; outputs beyond it are zeros. Exactly
    what attention over the tokens cut off there gives: no mask, no waiting for the GPU, no graph break.
    A graph must not compute with `lengths`: for one addition on the CPU, inductor looks for a C++ compiler and
    tries it, 40 s in each process.
    Shape: each (B, L, H, D) -> (B, L, H, D).
    """
    result: Tensor = torch.ops.vitascope.attend(query, key, value, lengths, besides, kernel)
    return result


class OneRow:
    """Joint attention on one device: video and text tokens in one row."""

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel

    def __call__(self, video: QKV, text: QKV, text_lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Shape: (B, N, H, D), (B, L, H, D)."""
        if not text.query.shape[1]:
            return attend(*video, self.kernel), text.query
        row = QKV(*(torch.cat(pair, dim=1) for pair in zip(video, text, strict=True)))
        num_video = video.query.shape[1]
        out = self.attend(row, text_lengths, num_video)
        return out[:, :num_video], out[:, num_video:]

    def attend(self, row: QKV, text_lengths: Tensor | None, num_video: int) -> Tensor:
        """Attend over tokens that are joined in one row already, video first. Shape: (B, N + L, H, D)."""
        return attend(*row, self.kernel, text_lengths, besides=num_video)


def joined(kernel: str) -> JointAttend:
    """Joint attention on one device, by the kernel of this name."""
    return OneRow(kernel)
