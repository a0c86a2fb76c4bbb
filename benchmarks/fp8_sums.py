"""Where the error of 8-bit attention comes from: our kernel's arithmetic, Hopper's fp8 sums included, on a CPU.

    python benchmarks/fp8_sums.py -o RESULT.json [--kinds peaky strewn] [--length 44648] [--queries 48]

A tensor core adds 32 fp8 products at a time to what it has. It shifts all of them to the largest among them and cuts
off, towards zero, what lies more than 13 bits below that one's leading bit: "14 bits", as DeepSeek found them (arXiv
2412.19437, sections 3.3.2 and 3.5.2). With that, this gives the errors measured of our kernel on peaky inputs within
0.0001. One head of `attention_kernels.py`'s inputs.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attention_kernels import KINDS, inputs
from conditions import conditions

BLOCK, AT_ONCE, BITS = 128, 32, 13
LOG2_E = 1.4426950408889634


@dataclass(frozen=True)
class Scheme:
    """How it is summed; what is False is done in float32."""

    promoted: int = 1  # blocks of keys that the tensor cores sum before float32 does
    dealt: bool = False
    regained: bool = False  # whether values get back what rounding took on the whole
    cut: bool = True
    fp8: bool = True
    int8: bool = True


SCHEMES = {
    "nothing rounded but the output": Scheme(cut=False, fp8=False, int8=False),
    "no sums cut": Scheme(cut=False),
    "128 keys a sum": Scheme(1),
    "640 keys a sum": Scheme(5),
    "1024 keys a sum": Scheme(8),
    "640 keys a sum, dealt out, values regained": Scheme(5, True, True),
    "768 keys a sum, dealt out, values regained": Scheme(6, True, True),
    "1024 keys a sum, dealt out, values regained": Scheme(8, True, True),
}


def product(weights: Tensor, values: Tensor, sums: Tensor) -> Tensor:
    """What the tensor cores make of `sums` and a block. Shape: (Q, K), (K, D), (Q, D) -> (Q, D)."""
    for start in range(0, weights.shape[1], AT_ONCE):
        some = slice(start, start + AT_ONCE)
        products = weights[:, some, None] * values[None, some]
        largest = torch.maximum(products.abs().amax(1), sums.abs()).clamp(min=1e-30)
        last_bit = torch.exp2(torch.floor(torch.log2(largest)) - BITS)
        whole = torch.trunc(products / last_bit[:, None]).sum(1) + torch.trunc(sums / last_bit)
        sums = whole * last_bit
    return sums


def fp8(tensor: Tensor) -> Tensor:
    """Rounded as the hardware does."""
    return tensor.to(torch.float8_e4m3fn).float()


def scores(query: Tensor, key: Tensor, rounded: bool) -> Tensor:
    """In powers of two. Shape: (Q, D), (K, D) -> (Q, K)."""
    query, key = query * (LOG2_E / query.shape[-1] ** 0.5), key - key.mean(0)
    if rounded:
        scale = query.abs().amax(1, keepdim=True) / 127
        query = torch.floor(query / scale + 0.5) * scale
        blocks = torch.nn.functional.pad(key, (0, 0, 0, -len(key) % BLOCK)).view(-1, BLOCK, key.shape[1])
        scale = blocks.abs().amax((1, 2), keepdim=True) / 127
        key = (torch.floor(blocks / scale + 0.5) * scale).flatten(0, 1)[: len(key)]
    return query @ key.T


def attend(query: Tensor, key: Tensor, value: Tensor, scheme: Scheme) -> Tensor:
    """Our kernel's attention. Shape: (Q, D), (K, D), (K, D) -> (Q, D)."""
    if scheme.dealt:
        full = len(key) // BLOCK
        order = torch.arange(full * BLOCK).view(BLOCK, full).T.flatten()
        order = torch.cat([order, torch.arange(full * BLOCK, len(key))])
        key, value = key[order], value[order]
    asked = scores(query, key, scheme.int8)
    mean = value.mean(0)
    scale = (value - mean).abs().amax(0) / 448
    given = (value - mean) / scale
    rounded = fp8(given) if scheme.fp8 else given
    gain = (given**2).sum(0) / (given * rounded).sum(0) if scheme.regained else torch.ones_like(scale)
    mean = mean + (given - rounded * gain).mean(0) * scale
    largest, total = torch.full((len(query), 1), -torch.inf), torch.zeros(len(query), 1)
    sums, kept_sums = torch.zeros_like(query), torch.zeros_like(query)
    for block in range(-(-len(key) // BLOCK)):
        some = slice(block * BLOCK, (block + 1) * BLOCK)
        now = torch.maximum(largest, asked[:, some].amax(1, keepdim=True))
        kept, largest = torch.exp2(largest - now), now
        weights = torch.exp2(asked[:, some] - now + 8)
        total, sums, kept_sums = total * kept + weights.sum(1, keepdim=True), sums * kept, kept_sums * kept
        weights = fp8(weights) if scheme.fp8 else weights
        sums = product(weights, rounded[some], sums) if scheme.cut else sums + weights @ rounded[some]
        if (block + 1) % scheme.promoted == 0:
            kept_sums, sums = kept_sums + sums, torch.zeros_like(sums)
    return ((kept_sums + sums) / total * scale * gain + mean).bfloat16().float()


def main() -> None:
    """All schemes on all inputs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--length", type=int, default=44648)
    parser.add_argument("--queries", type=int, default=48)
    given = parser.parse_args()
    rows: dict[str, dict[str, float]] = {name: {} for name in SCHEMES}
    for kind in given.kinds:
        query, key, value = (tensor[0, :, 0].float() for tensor in inputs(kind, given.length, 1, 128, "cpu"))
        query = query[torch.linspace(0, given.length - 1, given.queries).long()]
        weights = (query.double() @ key.double().T * query.shape[-1] ** -0.5).softmax(-1)
        expected = (weights @ value.double()).float()
        for name, scheme in SCHEMES.items():
            found = attend(query, key, value, scheme)
            rows[name][kind] = round(((found - expected).norm() / expected.norm()).item(), 5)
            print(kind, name, rows[name][kind], flush=True)
    result = {**conditions("cpu"), "length": given.length, "queries": given.queries, "errors": rows}
    given.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
