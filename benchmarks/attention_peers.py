"""Attention kernels of other projects, those whose packages are here, behind one door.

SageAttention 1 (`pip install sageattention`) or 2 (built from its repository), FlashInfer (`flashinfer-python`),
FastVideo's block-sparse kernel (`fastvideo-kernel`) with every block chosen, which is then exact attention, and
FlashAttention-3 as SGLang ships it (`sgl-kernel`). SageAttention 1 beside 2: its wheel, unpacked, as the folder
`sageattention_1` on PYTHONPATH.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor
from torch.nn import functional

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], None]
BLOCK = 64


def _sage(module: str) -> Attend:
    sageattn = import_module(module).sageattn

    def run(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
        out.copy_(sageattn(query, key, value, tensor_layout="NHD", is_causal=False))

    return run


def _flashinfer() -> Attend:
    from flashinfer import single_prefill_with_kv_cache  # type: ignore[import-not-found]

    def run(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
        out[0] = single_prefill_with_kv_cache(query[0], key[0], value[0], causal=False, backend="fa3")

    return run


def _sgl() -> Attend:
    from sgl_kernel.flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]

    def run(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
        length = query.shape[1]
        ends = torch.tensor([0, length], device=query.device, dtype=torch.int32)
        out[0] = flash_attn_varlen_func(query[0], key[0], value[0], ends, ends, length, length)

    return run


def _fastvideo() -> Attend:
    from fastvideo_kernel import block_sparse_attn_from_indices  # type: ignore[import-not-found]

    chosen: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}

    def blocks(heads: int, length: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        count = math.ceil(length / BLOCK)
        if (heads, length) not in chosen:
            every = torch.arange(count, device=device, dtype=torch.int32).expand(1, heads, count, count)
            how_many = torch.full((1, heads, count), count, device=device, dtype=torch.int32)
            sizes = torch.full((count,), BLOCK, device=device, dtype=torch.int32)
            sizes[-1] = length - BLOCK * (count - 1)
            chosen[heads, length] = (every.contiguous(), how_many, sizes)
        return chosen[heads, length]

    def run(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
        length, heads = query.shape[1:3]
        rest = -length % BLOCK
        padded = [
            functional.pad(tensor.transpose(1, 2), (0, 0, 0, rest)).contiguous()
            for tensor in (query, key, value)
        ]
        attended, _ = block_sparse_attn_from_indices(*padded, *blocks(heads, length, query.device))
        out.copy_(attended[:, :, :length].transpose(1, 2))

    return run


# Name, the package whose version is said, and how it is made.
PEERS: list[tuple[str, str, Callable[[], Attend]]] = [
    ("sageattention", "sageattention", lambda: _sage("sageattention")),
    ("sageattention 1", "", lambda: _sage("sageattention_1")),
    ("fastvideo block-sparse, all blocks", "fastvideo-kernel", _fastvideo),
    ("sgl-kernel FA3", "sgl-kernel", _sgl),
    ("flashinfer FA3", "flashinfer-python", _flashinfer),
]


def found() -> tuple[dict[str, Attend], dict[str, str]]:
    """The kernels that are here, and why each other one is not."""
    here: dict[str, Attend] = {}
    missing: dict[str, str] = {}
    for name, package, make in PEERS:
        try:
            kernel = make()
        except Exception as error:  # noqa: BLE001  a package built for another torch fails in many ways
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        try:
            said = f"{name} ({version(package)})" if package else name
        except PackageNotFoundError:
            said = name
        here[said] = kernel
    return here, missing
