"""Attention kernels alone at the sizes of Mochi and CogVideoX-5B: time, and error against double precision.

    python benchmarks/attention_kernels.py -o RESULT.json [--repeats 8] [--peers] [--sizes mochi]

Inputs: "flat" normal numbers; "outliers", a few channels of the keys far from zero, as CogVideoX has them; "peaky",
tokens in clusters with outlier channels besides; "sharp", three times the queries; "stretch" and "strewn", a broad
look at an eighth of all tokens side by side, and at a half of them here and there, which share their values.
fp8 FlashAttention-3 is there for comparison, with scales a head and nothing smoothed, and with keys smoothed and
both rotated. With --peers, also the kernels of other projects whose packages are here (`attention_peers.py`); one
that is missing or fails is named.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import attention_peers
from conditions import conditions
from vitascope.engine.attention import KERNELS

SIZES = {"mochi": (44648, 24, 128), "cogvideox-5b": (17776, 48, 64)}
KINDS = ("flat", "outliers", "peaky", "sharp", "stretch", "strewn")
HEADS, ROWS = [0, 5], 256
Attend = Callable[[Tensor, Tensor, Tensor, Tensor], None]


def inputs(
    kind: str, length: int, heads: int, width: int, device: str = "cuda"
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values. Shape: each (1, L, H, D)."""
    drawn = torch.Generator(device).manual_seed(0)

    def noise(tokens: int = length) -> Tensor:
        return torch.randn(1, tokens, heads, width, generator=drawn, device=device, dtype=torch.bfloat16)

    def clusters() -> Tensor:
        return noise(64).repeat_interleave(math.ceil(length / 64), 1)[:, :length]

    query, key, value = noise(), noise(), noise()
    if kind == "outliers":
        key[..., :4] += 20.0
        key[..., 4:6] -= 40.0
        value += 0.5
    if kind == "peaky":
        centre = clusters()
        query, key, value = (query * 0.5 + centre) * 1.5, key * 0.5 + centre, value * 0.5 + clusters()
        key[..., :4] += 20.0
    if kind == "sharp":
        query = query * 3
    if kind in ("stretch", "strewn"):
        if kind == "stretch":
            groups = torch.arange(length, device=device) * 8 // length
        else:
            groups = torch.randint(2, (length,), generator=drawn, device=device)
        centre = noise(8)[:, groups]
        query, key, value = (query * 0.5 + centre) * 0.7, key * 0.7 + centre, value + noise(8)[:, groups]
    return query.contiguous(), key.contiguous(), value.contiguous()


def expected(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows are looked at, and what they should be. Shape: (ROWS,), (ROWS, heads, D)."""
    rows = torch.linspace(0, query.shape[1] - 1, ROWS, device="cuda").long()
    heads = []
    for head in HEADS:
        scores = query[0, rows, head].double() @ key[0, :, head].double().T * query.shape[-1] ** -0.5
        heads.append((scores.softmax(-1) @ value[0, :, head].double()).float())
    return rows, torch.stack(heads, 1)


def errors(output: Tensor, rows: Tensor, reference: Tensor) -> dict[str, float]:
    """Relative by squares, by absolute values, and the cosine."""
    found = output[0, rows][:, HEADS].float()
    return {
        "l2": round(((found - reference).norm() / reference.norm()).item(), 5),
        "l1": round(((found - reference).abs().sum() / reference.abs().sum()).item(), 5),
        "cosine": round(torch.cosine_similarity(found.flatten(), reference.flatten(), 0).item(), 6),
    }


def fp8_flash_attention(smooth: bool) -> Attend:
    """FlashAttention-3's own 8-bit path."""
    import fa3_fwd._C  # noqa: F401

    def scaled(states: Tensor) -> tuple[Tensor, Tensor]:
        scale = states.abs().amax(dim=(1, 3)).float() / 448
        return (states / scale[:, None, :, None]).to(torch.float8_e4m3fn), scale

    def run(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
        if smooth:
            key = key - key.float().mean(1, keepdim=True).to(key.dtype)
            rotation = hadamard(key.shape[-1])
            query, key = query @ rotation, key @ rotation
        (q8, q_scale), (k8, k_scale), (v8, v_scale) = scaled(query), scaled(key), scaled(value)
        torch.ops.fa3_fwd.fwd(
            q8, k8, v8, out=out, q_descale=q_scale, k_descale=k_scale, v_descale=v_scale, num_splits=1
        )

    return run


def hadamard(width: int) -> Tensor:
    """An orthogonal matrix that spreads what one channel has over all. Shape: (D, D)."""
    matrix = torch.ones(1, 1)
    while matrix.shape[0] < width:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return (matrix / width**0.5).to("cuda", torch.bfloat16)


def milliseconds(work: Callable[[], None], repeats: int) -> list[float]:
    """Of each repetition."""
    took = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        took.append(round(begin.elapsed_time(end), 3))
    return took


def main() -> None:
    """Measure all kernels, in turns, and write one JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    given = parser.parse_args()
    kernels: dict[str, Attend] = {name: KERNELS[name] for name in ("fa3", "cudnn", "int8")}
    kernels |= {"fa3 in fp8": fp8_flash_attention(False), "fa3 in fp8, smoothed": fp8_flash_attention(True)}
    result: dict[str, Any] = {
        **conditions("cuda", "triton"),
        "made": time.strftime("%Y-%m-%d"),
        "sizes": SIZES,
        "rows": {},
    }
    if given.peers:
        peers, result["not here"] = attention_peers.found()
        kernels |= peers
        print("not here:", result["not here"], flush=True)
    for size in given.sizes:
        length, heads, width = SIZES[size]
        rows: dict[str, dict[str, Any]] = {name: {"ms": []} for name in kernels}
        result["rows"][size] = rows
        for kind in KINDS:
            tensors = inputs(kind, length, heads, width)
            out = torch.empty_like(tensors[0])
            picked, reference = expected(*tensors)
            for name, attend in kernels.items():
                if "failed" in rows[name]:
                    continue
                try:
                    attend(*tensors, out.fill_(math.nan))
                    rows[name][kind] = errors(out, picked, reference)
                except Exception as error:  # noqa: BLE001  a peer's kernel may not know this size or card
                    rows[name]["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        run = {name: attend for name, attend in kernels.items() if "failed" not in rows[name]}
        tensors = inputs("flat", length, heads, width)
        for _ in range(3):  # in turns, so that a warmer card slows all of them
            for name, attend in run.items():
                rows[name]["ms"] += milliseconds(lambda a=attend, t=tensors, o=out: a(*t, o), given.repeats)  # type: ignore[misc]
        for name, row in rows.items():
            if "failed" in row:
                print(size, name, row["failed"], flush=True)
                continue
            row["median_ms"] = statistics.median(row["ms"])
            row["tflops"] = round(4 * heads * length**2 * width / row["median_ms"] / 1e9)
            print(size, name, row["median_ms"], row["flat"]["l2"], row["peaky"]["l2"], flush=True)
        given.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
