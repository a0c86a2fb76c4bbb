"""UMT's video transformer with a head for Kinetics-400: every patch of every frame looks at all others.

Source: Li et al., Unmasked Teacher, ICCV 2023 (arXiv:2303.16058); the names of its parts as in the checkpoint
l16_ptk710_ftk710_ftk400_f16_res224.pth, read as Vchitect/VBench 45e79ec, vbench/third_party/umt, Apache-2.0, does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.models.checkpoints import load_exactly, read_tensors

NUM_FRAMES, SIDE, PATCH = 16, 224, 16
_PRETRAINED_FRAMES, _EPS = 8, 1e-6


@dataclass(frozen=True)
class UmtSizes:
    """How large it is; the default is the published one (ViT-L/16)."""

    width: int = 1024
    heads: int = 16
    layers: int = 24
    num_classes: int = 400


def sine_positions(width: int) -> Float[Tensor, "1 N D"]:
    """The positions of the patches of 16 frames, those of the 8 of the pre-training drawn out in time."""
    patches = (SIDE // PATCH) ** 2
    powers = 10000 ** (torch.arange(width, dtype=torch.float64).div(2, rounding_mode="floor") * 2 / width)
    angles = torch.arange(_PRETRAINED_FRAMES * patches, dtype=torch.float64)[:, None] / powers
    table = torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos()).float()
    in_time = table.view(_PRETRAINED_FRAMES, patches * width).T[None]
    drawn_out = nn.functional.interpolate(in_time, size=NUM_FRAMES, mode="linear")
    return drawn_out[0].T.reshape(1, NUM_FRAMES * patches, width)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        # A bias of the keys would change no softmax, so that the checkpoint has none.
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = nn.functional.linear(x, self.qkv.weight, bias)
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, _EPS), nn.LayerNorm(width, _EPS)
        self.attn, self.mlp = _Attention(width, heads), _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _PatchEmbed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, (1, PATCH, PATCH), (1, PATCH, PATCH))

    def forward(self, video: Tensor) -> Tensor:
        return self.proj(video).flatten(2).transpose(1, 2)


class Umt(nn.Module):
    """Logits of the classes for a video of sixteen frames."""

    def __init__(self, sizes: UmtSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or UmtSizes()
        self.patch_embed = _PatchEmbed(sizes.width)
        self.pos_embed = nn.Parameter(sine_positions(sizes.width))
        self.blocks = nn.ModuleList(_Block(sizes.width, sizes.heads) for _ in range(sizes.layers))
        self.fc_norm = nn.LayerNorm(sizes.width, _EPS)
        self.head = nn.Linear(sizes.width, sizes.num_classes)

    def forward(self, frames: Float[Tensor, "B 16 3 224 224"]) -> Float[Tensor, "B K"]:
        """Frames with ImageNet's mean and deviation taken out."""
        x = self.patch_embed(frames.transpose(1, 2)) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(x.mean(1)))


def load_umt(file: Path, device: str | torch.device = "cpu", sizes: UmtSizes | None = None) -> Umt:
    """UMT with the weights of its published checkpoint. Raises: WeightsMissing for another file."""
    sizes = sizes or UmtSizes()
    with torch.device("meta"):
        network = Umt(sizes)
    try:
        tensors = read_tensors(file)
        # Upstream keeps the sines where a file has no positions of its own.
        tensors.setdefault("pos_embed", sine_positions(sizes.width))
        load_exactly(network, tensors, torch.float32)
    except InvalidMedia as error:
        raise WeightsMissing(f"{str(file)!r} does not hold UMT (ViT-L/16, Kinetics-400): {error}") from error
    return network.eval().to(device)
