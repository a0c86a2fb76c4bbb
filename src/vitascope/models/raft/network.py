"""RAFT's network, in its large form.

Source: Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020; the names of its
parts, its padding and the order of the looked-up costs as in princeton-vl/RAFT, core/, BSD-3-Clause.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.models.checkpoints import load_exactly, read_tensors

HIDDEN, LEVELS, RADIUS, STRIDE = 128, 4, 4, 8


def _normalised(channels: int, batch: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if batch else nn.InstanceNorm2d(channels)


class _Residual(nn.Module):
    def __init__(self, wide: int, channels: int, stride: int, batch: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(wide, channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.norm1, self.norm2 = _normalised(channels, batch), _normalised(channels, batch)
        shortcut = nn.Sequential(nn.Conv2d(wide, channels, 1, stride), _normalised(channels, batch))
        self.downsample = shortcut if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(y)).relu()
        return torch.relu(self.downsample(x) + y)


def _stage(wide: int, channels: int, stride: int, batch: bool) -> nn.Sequential:
    return nn.Sequential(_Residual(wide, channels, stride, batch), _Residual(channels, channels, 1, batch))


class _Encoder(nn.Module):
    """Features on an eighth of the size. Shape: (B, 3, H, W) to (B, 256, H / 8, W / 8)."""

    def __init__(self, batch: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.norm1 = _normalised(64, batch)
        self.layer1 = _stage(64, 64, 1, batch)
        self.layer2 = _stage(64, 96, 2, batch)
        self.layer3 = _stage(96, 128, 2, batch)
        self.conv2 = nn.Conv2d(128, 2 * HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.conv1(x)).relu()
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class _MotionEncoder(nn.Module):
    """What the looked-up costs and the flow so far say. Shape: to (B, 128, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(LEVELS * (2 * RADIUS + 1) ** 2, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(192 + 64, HIDDEN - 2, 3, padding=1)

    def forward(self, flow: Tensor, costs: Tensor) -> Tensor:
        from_costs = self.convc2(self.convc1(costs).relu()).relu()
        from_flow = self.convf2(self.convf1(flow).relu()).relu()
        both = self.conv(torch.cat([from_costs, from_flow], 1)).relu()
        return torch.cat([both, flow], 1)


class _SeparableGru(nn.Module):
    """A gated unit that looks along the rows, then along the columns."""

    def __init__(self) -> None:
        super().__init__()
        for number, (kernel, padding) in enumerate((((1, 5), (0, 2)), ((5, 1), (2, 0))), start=1):
            for gate in "zrq":
                conv = nn.Conv2d(3 * HIDDEN, HIDDEN, kernel, padding=padding)
                self.add_module(f"conv{gate}{number}", conv)

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        for number in (1, 2):
            update, reset, fresh = (getattr(self, f"conv{gate}{number}") for gate in "zrq")
            both = torch.cat([hidden, x], 1)
            z, r = update(both).sigmoid(), reset(both).sigmoid()
            hidden = (1 - z) * hidden + z * fresh(torch.cat([r * hidden, x], 1)).tanh()
        return hidden


class _FlowHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv2(self.conv1(hidden).relu())


class _Update(nn.Module):
    """One step: the hidden state and how much the flow changes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _MotionEncoder()
        self.gru = _SeparableGru()
        self.flow_head = _FlowHead()
        last = nn.Conv2d(256, 9 * STRIDE**2, 1)
        self.mask = nn.Sequential(nn.Conv2d(HIDDEN, 256, 3, padding=1), nn.ReLU(), last)

    def forward(self, hidden: Tensor, context: Tensor, costs: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.gru(hidden, torch.cat([context, self.encoder(flow, costs)], 1))
        return hidden, self.flow_head(hidden)


class Raft(nn.Module):
    """Optical flow from one picture to another, in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fnet = _Encoder(batch=False)
        self.cnet = _Encoder(batch=True)
        self.update_block = _Update()

    def forward(
        self, first: Float[Tensor, "B 3 H W"], second: Float[Tensor, "B 3 H W"], num_iterations: int = 20
    ) -> Float[Tensor, "B 2 P Q"]:
        """Where each pixel of `first` is in `second`: (x, y) on top of where it was.

        Shape: P and Q are H and W made up to multiples of 8, the rim repeated on both sides.
        Range: 0..255.
        """
        pictures = [_padded(picture) / 127.5 - 1 for picture in (first, second)]
        features = self.fnet(torch.cat(pictures)).chunk(2)
        hidden, context = self.cnet(pictures[0]).chunk(2, 1)
        hidden, context = hidden.tanh(), context.relu()
        pyramid = costs(*features)
        start = _grid(hidden)
        at = start
        for _ in range(num_iterations):
            hidden, change = self.update_block(hidden, context, looked_up(pyramid, at), at - start)
            at = at + change
        return _enlarged(at - start, 0.25 * self.update_block.mask(hidden))


def _padded(picture: Tensor) -> Tensor:
    height, width = (-size % STRIDE for size in picture.shape[-2:])
    sides = (width // 2, width - width // 2, height // 2, height - height // 2)
    return F.pad(picture, sides, mode="replicate")


def _grid(like: Tensor) -> Tensor:
    """Each cell's own place, x before y. Shape: (B, 2, h, w)."""
    height, width = like.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device), torch.arange(width, device=like.device), indexing="ij"
    )
    return torch.stack([x, y]).to(like.dtype).expand(like.shape[0], 2, height, width)


def costs(first: Tensor, second: Tensor) -> list[Tensor]:
    """How alike every cell of one picture is to every cell of the other, on four sizes of the other."""
    batch, channels, height, width = first.shape
    alike = first.flatten(2).transpose(1, 2) @ second.flatten(2) / channels**0.5
    level = alike.reshape(batch * height * width, 1, height, width)
    pyramid = [level]
    for _ in range(LEVELS - 1):
        level = F.avg_pool2d(level, 2, 2)
        pyramid.append(level)
    return pyramid


def looked_up(pyramid: list[Tensor], at: Tensor, radius: int = RADIUS) -> Tensor:
    """The costs around where each cell points to, within `radius` cells on every level.

    Shape: to (B, levels (2 radius + 1)^2, h, w).
    """
    batch, _, height, width = at.shape
    steps = torch.linspace(-radius, radius, 2 * radius + 1, device=at.device)
    # The outer of both steps is that along x: the checkpoints were trained with this order.
    around = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    centres = at.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    found = []
    for number, level in enumerate(pyramid):
        size = torch.tensor(level.shape[:-3:-1], device=at.device, dtype=at.dtype)  # width, height
        places = 2 * (centres / 2**number + around) / (size - 1) - 1
        sampled = F.grid_sample(level, places, align_corners=True)
        found.append(sampled.reshape(batch, height, width, -1))
    return torch.cat(found, -1).permute(0, 3, 1, 2)


def _enlarged(flow: Tensor, mask: Tensor) -> Tensor:
    """The flow on full size: each fine pixel is a weighted mean of nine coarse ones. Shape: (B, 2, 8 h, 8 w)."""
    batch, _, height, width = flow.shape
    weights = mask.view(batch, 1, 9, STRIDE, STRIDE, height, width).softmax(2)
    neighbours = F.unfold(STRIDE * flow, 3, padding=1).view(batch, 2, 9, 1, 1, height, width)
    fine = (weights * neighbours).sum(2)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, STRIDE * height, STRIDE * width)


def load_raft(file: Path, device: str | torch.device = "cpu") -> Raft:
    """RAFT with the weights of one of its published checkpoints, such as raft-things.pth.

    Raises: WeightsMissing if the file holds something else.
    """
    network = Raft()
    try:
        tensors = {key.removeprefix("module."): tensor for key, tensor in read_tensors(file).items()}
        # The shortcut's norm is written down twice.
        tensors = {key: tensor for key, tensor in tensors.items() if ".norm3." not in key}
        load_exactly(network, tensors, torch.float32)
    except InvalidMedia as error:
        raise WeightsMissing(f"{str(file)!r} does not hold RAFT's large network: {error}") from error
    return network.eval().to(device)
