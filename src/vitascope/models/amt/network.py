"""AMT's network in its small form, for the frame halfway.

Source: Li et al., AMT: All-Pairs Multi-Field Transforms for Efficient Frame Interpolation, CVPR 2023; the names of
its parts as in the checkpoint amt-s.pth of MCG-NKU/AMT, as Vchitect/VBench 45e79ec runs it.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.flow.warping import backward_warp, pixel_grid
from vitascope.models.amt.features import PictureEncoder, Pyramid
from vitascope.models.checkpoints import load_exactly, read_tensors
from vitascope.models.raft.network import costs, looked_up
from vitascope.models.sgm_vfi.layers import conv_prelu, resize, resize_flow

CHANNELS, SIDE_CHANNELS, NUM_FLOWS = (20, 32, 44, 56), 20, 3
LEVELS, RADIUS, STRIDE = 4, 3, 16
HALFWAY = 0.5
#: Sides are made up to multiples of 16, and a single cell on the coarsest level of costs has no place. Units: pixels.
SMALLEST_SIDE = 8 * 2**LEVELS - STRIDE + 1


class _SideResidual(nn.Module):
    """Residual block that alternates convolutions of all channels with convolutions of the last few alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = conv_prelu(channels, channels), conv_prelu(channels, channels)
        self.conv2, self.conv4 = (conv_prelu(SIDE_CHANNELS, SIDE_CHANNELS) for _ in range(2))
        self.conv5, self.prelu = nn.Conv2d(channels, channels, 3, 1, 1), nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        for side, whole in ((self.conv2, self.conv3), (self.conv4, self.conv5)):
            y = whole(torch.cat([y[:, :-SIDE_CHANNELS], side(y[:, -SIDE_CHANNELS:])], 1))
        return self.prelu(x + y)


class _Decoder(nn.Module):
    """Decoder of one level: upsamples everything known at one size by two."""

    def __init__(self, known: int, wide: int, out: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(
            conv_prelu(known, wide), _SideResidual(wide), nn.ConvTranspose2d(wide, out, 4, 2, 1)
        )

    def forward(self, *known: Tensor) -> Tensor:
        return self.convblock(torch.cat(known, 1))


def _convs(wide: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(wide, hidden, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, out, 3, padding=1)
    )


class _Update(nn.Module):
    """Predicts the change of both flows and of the features from the matching costs where the flows point."""

    def __init__(self, channels: int, finer: int) -> None:
        super().__init__()
        self.finer = finer
        self.convc1 = nn.Conv2d(2 * LEVELS * (2 * RADIUS + 1) ** 2, 64, 1)
        self.convf1, self.convf2 = nn.Conv2d(4, 40, 7, padding=3), nn.Conv2d(40, 20, 3, padding=1)
        self.conv = nn.Conv2d(64 + 20, 68, 3, padding=1)
        self.gru = _convs(68 + 4 + channels, 76, 76)
        self.feat_head, self.flow_head = _convs(76, 76, channels), _convs(76, 76, 4)

    def forward(self, features: Tensor, flows: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        seen = F.leaky_relu(self.convc1(found), 0.1)
        moved = F.leaky_relu(self.convf2(F.leaky_relu(self.convf1(flows), 0.1)), 0.1)
        both = F.leaky_relu(self.conv(torch.cat([seen, moved], 1)), 0.1)
        out = self.gru(torch.cat([both, flows, resize(features, 1 / self.finer)], 1))
        return resize(self.feat_head(out), self.finer), resize_flow(self.flow_head(out), self.finer)


class _Costs:
    """All-pairs correlation of two pictures' features, looked up in both directions."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self.there, self.back = costs(first, second), costs(second, first)
        height, width = first.shape[-2:]
        self.cells = pixel_grid(height, width, first)[None]

    def along(self, flows: Tensor) -> Tensor:
        """Correlations around where `flows` point to, assuming straight motion."""
        to_first, to_second = flows.chunk(2, 1)
        there = looked_up(self.there, self.cells + to_second / HALFWAY, RADIUS)
        back = looked_up(self.back, self.cells + to_first / (1 - HALFWAY), RADIUS)
        return torch.cat([there, back], 1)


class Amt(nn.Module):
    """The frame halfway between two."""

    def __init__(self) -> None:
        super().__init__()
        self.feat_encoder, self.encoder = PictureEncoder(84), Pyramid(CHANNELS)
        fine, fair, coarse, coarsest = CHANNELS
        self.decoder4 = _Decoder(2 * coarsest + 1, 2 * coarsest, coarse + 4)
        self.decoder3 = _Decoder(3 * coarse + 4, 3 * coarse, fair + 4)
        self.decoder2 = _Decoder(3 * fair + 4, 3 * fair, fine + 4)
        self.decoder1 = _Decoder(3 * fine + 4, 3 * fine, 8 * NUM_FLOWS)
        self.update4, self.update3, self.update2 = _Update(coarse, 1), _Update(fair, 2), _Update(fine, 4)
        wide = 6 * NUM_FLOWS
        self.comb_block = nn.Sequential(
            nn.Conv2d(wide // 2, wide, 3, 1, 1), nn.PReLU(wide), nn.Conv2d(wide, 3, 3, 1, 1)
        )

    def forward(
        self, first: Float[Tensor, "B 3 H W"], second: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "B 3 H W"]:
        """The frame halfway between `first` and `second`, of at least SMALLEST_SIDE each way. Range: 0..1."""
        height, width = first.shape[-2:]
        pair = [_padded(picture) for picture in (first, second)]
        between = self._between(*pair)
        top, left = (between.shape[-2] - height) // 2, (between.shape[-1] - width) // 2
        return between[..., top : top + height, left : left + width]

    def _between(self, first: Tensor, second: Tensor) -> Tensor:
        mean = torch.cat([first, second], 2).mean((1, 2, 3), keepdim=True)
        pictures = first - mean, second - mean
        alike = _Costs(*self.feat_encoder(torch.cat(pictures)).chunk(2))
        *finer, coarsest = zip(*(self.encoder(picture) for picture in pictures), strict=True)
        time = coarsest[0].new_full((len(first), 1, *coarsest[0].shape[-2:]), HALFWAY)
        out = self.decoder4(*coarsest, time)
        flows, features = self._updated(self.update4, alike, out[:, :4], out[:, 4:])
        for decoder, update, seen in (
            (self.decoder3, self.update3, finer[2]),
            (self.decoder2, self.update2, finer[1]),
        ):
            out = decoder(features, *_warped(seen, flows), flows)
            flows = out[:, :4] + resize_flow(flows, 2.0)
            flows, features = self._updated(update, alike, flows, out[:, 4:])
        out = self.decoder1(features, *_warped(finer[0], flows), flows)
        return self._merged(pictures, resize_flow(flows, 2.0), out, mean).clamp(0, 1)

    @staticmethod
    def _updated(update: _Update, alike: _Costs, flows: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        coarse = resize_flow(flows, 1 / update.finer)
        more_features, more_flows = update(features, coarse, alike.along(coarse))
        return flows + more_flows, features + more_features

    def _merged(self, pictures: tuple[Tensor, Tensor], flows: Tensor, out: Tensor, mean: Tensor) -> Tensor:
        """The frame from several pairs of flows: warped, blended, averaged, and corrected by a residual."""
        n = NUM_FLOWS
        changes, masks, rests = out[:, : 4 * n].chunk(2, 1), out[:, 4 * n : 5 * n], out[:, 5 * n :]
        fetched = []
        for picture, flow, change in zip(pictures, flows.chunk(2, 1), changes, strict=True):
            fields = (change + flow.repeat(1, n, 1, 1)).unflatten(1, (n, 2)).flatten(0, 1)
            fetched.append(backward_warp(picture.repeat_interleave(n, 0), fields).unflatten(0, (-1, n)))
        share = masks.sigmoid()[:, :, None]
        blended = share * fetched[0] + (1 - share) * fetched[1] + mean[:, None] + rests.unflatten(1, (n, 3))
        return blended.mean(1) + self.comb_block(blended.flatten(1, 2))


def _warped(pair: tuple[Tensor, Tensor], flows: Tensor) -> list[Tensor]:
    return [backward_warp(seen, flow) for seen, flow in zip(pair, flows.chunk(2, 1), strict=True)]


def _padded(picture: Tensor) -> Tensor:
    height, width = (-size % STRIDE for size in picture.shape[-2:])
    sides = (width // 2, width - width // 2, height // 2, height - height // 2)
    return F.pad(picture, sides, mode="replicate")


def load_amt(file: Path, device: str | torch.device = "cpu") -> Amt:
    """AMT with the weights of its published small checkpoint, amt-s.pth.

    Raises: WeightsMissing if the file holds something else.
    """
    network = Amt()
    try:
        load_exactly(network, read_tensors(file), torch.float32)
    except InvalidMedia as error:
        raise WeightsMissing(f"{str(file)!r} does not hold AMT-S: {error}") from error
    return network.eval().to(device)
