"""ViCLIP's two encoders: CLIP's, that of pictures looking at all frames at once.

Source: Wang et al., InternVid, ICLR 2024 (arXiv:2307.06942); the names of its parts as in the checkpoint
ViClip-InternVid-10M-FLT.pth, read as Vchitect/VBench 45e79ec, vbench/third_party/ViCLIP, Apache-2.0, does.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.models.checkpoints import load_exactly, read_tensors


@dataclass(frozen=True)
class ViClipSizes:
    """How large it is; the default is the published one (ViT-L/14)."""

    side: int = 224
    patch: int = 14
    num_frames: int = 8
    width: int = 1024
    heads: int = 16
    layers: int = 24
    text_length: int = 32
    text_width: int = 768
    text_heads: int = 12
    text_layers: int = 12
    vocabulary: int = 49408
    embedding: int = 768


class _QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers = (
            ("c_fc", nn.Linear(width, 4 * width)),
            ("gelu", _QuickGelu()),
            ("c_proj", nn.Linear(4 * width, width)),
        )
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class _Blocks(nn.Module):
    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class _VideoEncoder(nn.Module):
    def __init__(self, sizes: ViClipSizes) -> None:
        super().__init__()
        width, patch = sizes.width, (1, sizes.patch, sizes.patch)
        self.conv1 = nn.Conv3d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((sizes.side // sizes.patch) ** 2 + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, sizes.num_frames, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = _Blocks(width, sizes.heads, sizes.layers)
        self.proj = nn.Parameter(torch.zeros(width, sizes.embedding))

    def forward(self, video: Tensor) -> Tensor:
        patches = self.conv1(video).flatten(3).permute(0, 2, 3, 1)  # B T N D
        patches = patches + self.positional_embedding[1:] + self.temporal_positional_embedding[:, :, None]
        whole = self.class_embedding + self.positional_embedding[0]
        tokens = torch.cat([whole.expand(len(video), 1, -1), patches.flatten(1, 2)], 1)
        return self.ln_post(self.transformer(self.ln_pre(tokens))[:, 0]) @ self.proj


class _TextEncoder(nn.Module):
    def __init__(self, sizes: ViClipSizes) -> None:
        super().__init__()
        width = sizes.text_width
        self.token_embedding = nn.Embedding(sizes.vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.zeros(sizes.text_length, width))
        self.transformer = _Blocks(width, sizes.text_heads, sizes.text_layers)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, sizes.embedding))

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        later = torch.full((length, length), float("-inf"), device=tokens.device).triu(1)
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        x = self.ln_final(self.transformer(x, later))
        # The token that ends a text has the highest number.
        return x[torch.arange(len(x)), tokens.argmax(-1)] @ self.text_projection


class ViClip(nn.Module):
    """Vectors of length 1 for videos of eight frames and for texts of up to 32 tokens."""

    def __init__(self, sizes: ViClipSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes or ViClipSizes()
        self.vision_encoder = _VideoEncoder(self.sizes)
        self.text_encoder = _TextEncoder(self.sizes)

    def video(self, frames: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B D"]:
        """Frames prepared as for CLIP."""
        return nn.functional.normalize(self.vision_encoder(frames.transpose(1, 2)), dim=-1)

    def text(self, tokens: Int[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        """Tokens of CLIP's vocabulary, begin and end among them."""
        return nn.functional.normalize(self.text_encoder(tokens), dim=-1)


def load_viclip(file: Path, device: str | torch.device = "cpu", sizes: ViClipSizes | None = None) -> ViClip:
    """ViCLIP with the weights of its published checkpoint. Raises: WeightsMissing for another file."""
    network = ViClip(sizes)
    try:
        tensors = {key: tensor for key, tensor in read_tensors(file).items() if key != "temp"}
        load_exactly(network, tensors, torch.float32)
    except InvalidMedia as error:
        raise WeightsMissing(f"{str(file)!r} does not hold ViCLIP (ViT-L/14): {error}") from error
    return network.eval().to(device)
