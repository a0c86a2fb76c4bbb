"""MUSIQ's network: a transformer over the patches of a picture at three sizes.

Source: Ke et al., MUSIQ: Multi-Scale Image Quality Transformer, ICCV 2021; the names of its parts as in the
checkpoints that pyiqa 0.1.10 converted, and its choice of resizing, which is not the authors' own.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.models.checkpoints import load_exactly, read_tensors

PATCH, GRID, LONGER_SIDES = 32, 10, (224, 384)
STEM, WIDTH, HEADS, LAYERS = 64, 384, 6, 14


class _StandardisedConv(nn.Conv2d):
    """Convolution with standardised filters (mean 0, deviation 1), padded as TensorFlow's "same"."""

    def forward(self, x: Tensor) -> Tensor:
        spread, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        x = _same(x, self.kernel_size[0], self.stride[0])
        return F.conv2d(x, (self.weight - mean) / (spread + 1e-5), None, self.stride)


def _conv(wide: int, channels: int, kernel: int, stride: int = 1) -> _StandardisedConv:
    return _StandardisedConv(wide, channels, kernel, stride, bias=False)


class _Bottleneck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.gn1 = _conv(STEM, STEM, 1), nn.GroupNorm(32, STEM, eps=1e-4)
        self.conv2, self.gn2 = _conv(STEM, STEM, 3), nn.GroupNorm(32, STEM, eps=1e-4)
        self.conv3, self.gn3 = _conv(STEM, 4 * STEM, 1), nn.GroupNorm(32, 4 * STEM, eps=1e-4)
        self.conv_proj, self.gn_proj = _conv(STEM, 4 * STEM, 1), nn.GroupNorm(32, 4 * STEM, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.gn1(self.conv1(x)).relu()
        y = self.gn2(self.conv2(y)).relu()
        return torch.relu(self.gn3(self.conv3(y)) + self.gn_proj(self.conv_proj(x)))


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(WIDTH, eps=1e-6), _Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH, eps=1e-6), _Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _PlaceVectors(nn.Module):
    """Position embedding: a vector for each cell of the grid that any picture is laid on."""

    def __init__(self) -> None:
        super().__init__()
        self.position_emb = nn.Parameter(torch.zeros(1, GRID**2, WIDTH))


class _ScaleVectors(nn.Module):
    """Scale embedding: a vector for each size at which a picture is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.scale_emb = nn.Parameter(torch.zeros(len(LONGER_SIDES) + 1, WIDTH))


class _Encoder(nn.Module):
    """Transformer encoder over all patches. Returns the class token. Shape: (B, N, D) to (B, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.posembed_input, self.scaleembed_input = _PlaceVectors(), _ScaleVectors()
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.encoder_norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.transformer = nn.ModuleDict({f"encoderblock_{number}": _Block() for number in range(LAYERS)})

    def forward(self, x: Tensor, places: Int[Tensor, " n"], scales: Int[Tensor, " n"]) -> Tensor:
        x = x + self.posembed_input.position_emb[:, places] + self.scaleembed_input.scale_emb[scales]
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1)
        for block in self.transformer.values():
            x = block(x)
        return self.encoder_norm(x)[:, 0]


class Musiq(nn.Module):
    """The quality of pictures of any one size, as people rated the pictures of SPAQ: from 0 to 100."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_root, self.gn_root = _conv(3, STEM, 7, 2), nn.GroupNorm(32, STEM, eps=1e-6)
        self.block1 = _Bottleneck()
        self.embedding = nn.Linear(4 * STEM * (PATCH // 4) ** 2, WIDTH)
        self.transformer_encoder = _Encoder()
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """A score for each picture. Range: of the pictures 0 to 1."""
        pictures = 2 * pictures - 1
        sizes = [*(_resized(pictures, side) for side in LONGER_SIDES), pictures]
        patches = [_patches(picture) for picture in sizes]
        tokens = torch.cat([self._tokens(patch) for patch in patches], 1)
        places = torch.cat([_places(*picture.shape[-2:]) for picture in sizes])
        # The checkpoints' sequences are filled up with masked patches; they change nothing and are left out.
        scales = torch.cat([torch.full((patch.shape[1],), at) for at, patch in enumerate(patches)])
        seen = self.transformer_encoder(tokens, places.to(tokens.device), scales.to(tokens.device))
        return self.head(seen)[:, 0]

    def _tokens(self, patches: Float[Tensor, "b n 3 p p"]) -> Float[Tensor, "b n d"]:
        x = self.gn_root(self.conv_root(patches.flatten(0, 1))).relu()
        x = self.block1(F.max_pool2d(_same(x, 3, 2), 3, 2))
        # The weights come from TensorFlow, which counts the channels last.
        return self.embedding(x.permute(0, 2, 3, 1).flatten(1)).unflatten(0, patches.shape[:2])


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around `x`, as TensorFlow's "same" puts them: what does not halve goes right and below."""
    height, width = ((math.ceil(size / stride) - 1) * stride + kernel - size for size in x.shape[-2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def _resized(pictures: Tensor, longer: int) -> Tensor:
    height, width = pictures.shape[-2:]
    ratio = longer / max(height, width)
    # A picture as thin as a line would have no side left.
    size = max(1, round(height * ratio)), max(1, round(width * ratio))
    return F.interpolate(pictures, size=size, mode="bicubic", align_corners=False)


def _patches(pictures: Tensor) -> Float[Tensor, "b n 3 p p"]:
    """Row by row, the picture in the middle of what the patches cover, grey around it."""
    cut = F.unfold(_same(pictures, PATCH, PATCH), PATCH, stride=PATCH)
    return cut.transpose(1, 2).unflatten(-1, (3, PATCH, PATCH))


def _places(height: int, width: int) -> Int[Tensor, " n"]:
    """The cell of the grid that each patch of a picture lies in."""
    cells = torch.arange(GRID).float()[None, None]
    down, across = (
        F.interpolate(cells, math.ceil(size / PATCH), mode="nearest")[0, 0].long() for size in (height, width)
    )
    return (down[:, None] * GRID + across).flatten()


def load_musiq(file: Path, device: str | torch.device = "cpu") -> Musiq:
    """MUSIQ with the weights of a checkpoint of single scores, such as musiq_spaq_ckpt-358bb6af.pth.

    Raises: WeightsMissing if the file holds something else.
    """
    network = Musiq()
    try:
        tensors = {key.removeprefix("module."): tensor for key, tensor in read_tensors(file).items()}
        load_exactly(network, tensors, torch.float32)
    except InvalidMedia as error:
        raise WeightsMissing(f"{str(file)!r} does not hold MUSIQ with one score: {error}") from error
    return network.eval().to(device)
