"""Whether attending to near video tokens alone would pay: `python benchmarks/sparse_attention.py --out FILE.json`.

One Mochi layer's attention for one sample, bfloat16, on a CUDA GPU. "tiles": FlexAttention over tiles of 4x4x8 video
tokens, each of which sees those in a box around it and all text (Sliding Tile Attention, arXiv 2502.04507); tokens
are padded to whole tiles. FlashAttention-3's own window, one of frames by the order of the tokens, is not in fa3-fwd
0.0.3 ("does not support local attention"). Time alone: what it does to a clip is not asked here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from conditions import conditions

HEADS, CHANNELS, TEXT = 24, 128, 256
GRID, TILE = (28, 30, 53), (4, 4, 8)  # latents in time, height and width; 128 tokens a tile
BOXES = ((7, 8, 7), (5, 8, 7), (5, 6, 5), (3, 8, 7), (5, 4, 5), (3, 5, 5))
BLOCK = 128


def _milliseconds(work: Any, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats + 2):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return round(statistics.median(times[2:]), 2)


def tiles_mask(box: tuple[int, int, int], device: str) -> tuple[BlockMask, float]:
    """Which tiles see which, all of both, and the share of pairs that is computed."""
    tiles = [-(-length // side) for length, side in zip(GRID, TILE, strict=True)]
    places = torch.tensor(list(itertools.product(*(range(n) for n in tiles))), device=device)
    near = torch.ones(len(places), len(places), dtype=torch.bool, device=device)
    for axis, width in enumerate(box):
        # At the edges the box is moved inwards, so that each tile sees equally many.
        first = (places[:, axis] - width // 2).clamp(0, tiles[axis] - width)
        other = places[None, :, axis]
        near &= (other >= first[:, None]) & (other < first[:, None] + width)
    num_text = TEXT // BLOCK
    seen = torch.nn.functional.pad(near, (0, num_text, 0, num_text), value=True)
    counts = seen.sum(1, dtype=torch.int32)
    order = seen.int().argsort(dim=1, descending=True, stable=True).int()
    none = torch.zeros_like(counts)
    mask = BlockMask.from_kv_blocks(
        none[None, None], order[None, None], counts[None, None], order[None, None], BLOCK
    )
    return mask, float(seen.float().mean())


def _first_tile_error(
    output: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: BlockMask
) -> float:
    """Of the first tile against attention over the keys that it sees, in float32."""
    assert mask.full_kv_num_blocks is not None and mask.full_kv_indices is not None
    blocks = mask.full_kv_indices[0, 0, 0, : int(mask.full_kv_num_blocks[0, 0, 0])].long()
    seen = (blocks[:, None] * BLOCK + torch.arange(BLOCK, device=blocks.device)).flatten()
    states = query[:, :, :BLOCK].float(), key[:, :, seen].float(), value[:, :, seen].float()
    expected = torch.nn.functional.scaled_dot_product_attention(*states)
    return round(float((output[:, :, :BLOCK].float() - expected).norm() / expected.norm()), 5)


def main() -> None:
    """Measure, and write one JSON file after each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    result: dict[str, Any] = {**conditions("cuda", "fa3-fwd"), "rows": {}}

    def keep(name: str, **row: Any) -> None:
        result["rows"][name] = row
        print(name, row, flush=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")

    from fa3_fwd_interface import flash_attn_func

    tokens = GRID[0] * GRID[1] * GRID[2]
    query, key, value = torch.randn(3, 1, tokens + TEXT, HEADS, CHANNELS, device="cuda", dtype=torch.bfloat16)
    keep(
        "FlashAttention-3, all",
        ms=_milliseconds(lambda: flash_attn_func(query, key, value)),
        tokens=tokens + TEXT,
    )
    tiles = [-(-n // side) for n, side in zip(GRID, TILE, strict=True)]
    length = tiles[0] * tiles[1] * tiles[2] * BLOCK + TEXT
    query, key, value = torch.randn(3, 1, HEADS, length, CHANNELS, device="cuda", dtype=torch.bfloat16)
    compiled = torch.compile(flex_attention, dynamic=False)
    for box in BOXES:
        mask, share = tiles_mask(box, "cuda")
        ms = _milliseconds(lambda mask=mask: compiled(query, key, value, block_mask=mask))
        error = _first_tile_error(compiled(query, key, value, block_mask=mask), query, key, value, mask)
        name = f"tiles, box {'x'.join(map(str, box))}"
        keep(name, ms=ms, share=round(share, 3), tokens=length, relative_error=error)


if __name__ == "__main__":
    main()
