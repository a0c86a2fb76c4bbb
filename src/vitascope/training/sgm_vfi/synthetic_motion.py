"""Endless training triplets whose motion is known: textured layers that slide, turn, grow and bend.

Everything is made on the device that trains, from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from vitascope.errors import InvalidMedia, NotFound

TEXTURE_SIDE = 512
HOMING_STEPS = 5  # each shrinks the error to about a quarter
GAIN, DRIFT = 0.03, 0.01
NUM_LAYERS = 5  # the background and up to four things in front of it
# Pictures of scikit-image that are in the public domain or CC0, as its documentation says.
SCIKIT_IMAGE_PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "rocket.jpg",
)


@dataclass(frozen=True)
class Triplets:
    """Three frames in steady motion and the truth about it.

    `flow` points from the middle to the first frame and to the second, in pixels; `displacement` from the
    first frames to the second ones and (second half of its batch) back. Both know the batch's first samples
    only if filmed ones, whose motion nobody knows, follow.
    """

    first: Float[Tensor, "B 3 H W"]
    middle: Float[Tensor, "B 3 H W"]
    second: Float[Tensor, "B 3 H W"]
    flow: Float[Tensor, "K 4 H W"]
    displacement: Float[Tensor, "K2 2 H W"]


def packaged_photos() -> list[Path]:
    """The photographs that scikit-image ships and that anybody may use; none if it is not installed."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    return [folder / name for name in SCIKIT_IMAGE_PHOTOS if (folder / name).is_file()]


def photos_in(folder: Path) -> list[Path]:
    """The pictures of a folder. Raises: NotFound if there is none."""
    found = sorted(file for file in folder.glob("*") if file.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not found:
        raise NotFound(f"no JPEG or PNG pictures in {str(folder)!r}")
    return found


def _squares_of(path: Path, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError as error:
        raise InvalidMedia(f"{str(path)!r} cannot be read as a picture") from error
    squares = []
    for _ in range(count):
        side = int(rng.uniform(0.5, 1) * min(picture.size))
        left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
        box = (left, top, left + side, top + side)
        square = picture.resize((TEXTURE_SIDE, TEXTURE_SIDE), Image.Resampling.BOX, box=box)
        squares.append(np.asarray(square))
    return squares


def fractal_textures(count: int, generator: torch.Generator) -> Float[Tensor, "count 3 S S"]:
    """Coloured noise with the falling spectrum of photographs, some of it cut into flat regions.

    Source: Field, "Relations between the statistics of natural images and the response properties of
    cortical cells", 1987: amplitude falls with about the inverse of the frequency.
    """
    side, device = TEXTURE_SIDE, generator.device
    frequency = torch.fft.fftfreq(side, device=device)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt().clamp(min=1 / side)
    fall = torch.empty(count, 1, 1, 1, device=device).uniform_(0.7, 1.8, generator=generator)
    noise = torch.randn(count, 3, side, side, device=device, generator=generator)
    picture = torch.fft.ifft2(torch.fft.fft2(noise) / radius**fall).real
    colour = torch.randn(count, 3, 3, device=device, generator=generator)
    brightness = torch.tensor((1.0, 0.0, 0.0), device=device)  # most of it is common to red, green and blue
    picture = torch.einsum("bij,bjhw->bihw", brightness + 0.35 * colour, picture)
    picture = (picture - picture.mean((2, 3), keepdim=True)) / picture.std((2, 3), keepdim=True)
    levels = torch.empty(count, 1, 1, 1, device=device).uniform_(1, 4, generator=generator)
    flat = torch.rand(count, 1, 1, 1, device=device, generator=generator) < 0.4
    picture = torch.where(flat, (picture * levels).round() / levels, picture)
    contrast = torch.empty(count, 3, 1, 1, device=device).uniform_(0.08, 0.25, generator=generator)
    mean = torch.empty(count, 3, 1, 1, device=device).uniform_(0.15, 0.85, generator=generator)
    return (mean + contrast * picture).clamp(0, 1)


def texture_bank(
    photos: Iterable[Path], seed: int, device: torch.device, squares_a_photo: int = 12, num_fractals: int = 96
) -> UInt8[Tensor, "n 3 S S"]:
    """The pictures that layers are cut from: squares of photographs, and fractal noise."""
    rng = np.random.default_rng(seed)
    squares = [square for path in photos for square in _squares_of(path, squares_a_photo, rng)]
    generator = torch.Generator(device).manual_seed(seed)
    made = [(fractal_textures(8, generator) * 255).byte() for _ in range(math.ceil(num_fractals / 8))]
    if squares:
        made.append(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).to(device))
    return torch.cat(made)


class SyntheticMotion:
    """Batches of triplets: layers of `textures`, each with its own steady motion.

    A layer's velocity is a slide of up to `largest_motion` pixels between the outer frames (most are
    smaller: the logarithm is uniform), a turn, a change of size and two bends, a wide and a finer one. It is
    given in the middle frame, so that what is at p there was at p - u(p) and will be at p + u(p).
    """

    def __init__(
        self,
        textures: UInt8[Tensor, "n 3 S S"],
        size: int,
        batch_size: int,
        largest_motion: float,
        drift: float = DRIFT,
    ) -> None:
        """`drift`: by how much, as a share, the light usually changes from one frame to the next."""
        self.textures, self.size, self.batch_size = textures, size, batch_size
        self.largest_motion, self.drift = largest_motion, drift
        self.device = textures.device
        place = torch.arange(size, dtype=torch.float32, device=self.device)
        self.grid = torch.stack((place.expand(size, size), place[:, None].expand(size, size)))

    def batch(self, seed: int) -> Triplets:
        """One batch, the same for the same seed on the same kind of device."""
        generator = torch.Generator(self.device).manual_seed(seed)
        layers = [self._layer(generator, background=index == 0) for index in range(NUM_LAYERS)]
        frames, motions = zip(*(self._render(layers, moment) for moment in (-1, 0, 1)), strict=True)
        gain, drift = (
            spread * torch.randn(self.batch_size, 1, 1, 1, device=self.device, generator=generator)
            for spread in (GAIN, self.drift)
        )
        first, middle, second = (
            (frame * (1 + gain + moment * drift)).clamp(0, 1)
            for frame, moment in zip(frames, (-1, 0, 1), strict=True)
        )
        flow = torch.cat((-motions[1], motions[1]), dim=1)
        displacement = torch.cat((2 * motions[0], -2 * motions[2]))
        return Triplets(first, middle, second, flow, displacement)

    def _uniform(self, generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(self.batch_size, *shape, device=self.device).uniform_(
            low, high, generator=generator
        )

    def _layer(self, generator: torch.Generator, background: bool) -> _Layer:
        batch, size = self.batch_size, self.size
        chosen = torch.randint(len(self.textures), (batch,), device=self.device, generator=generator)
        reach = math.log(self.largest_motion / 2) - (0.7 if background else 0.0)
        length = self._uniform(generator, math.log(0.1), reach).exp()
        direction = self._uniform(generator, 0, 2 * math.pi)
        slide = torch.stack((direction.cos(), direction.sin()), dim=1) * length[:, None]
        strength = self._uniform(generator, math.log(0.02), 0).exp()
        turn = self._uniform(generator, -0.12, 0.12) * strength
        growth = self._uniform(generator, -0.08, 0.08) * strength
        linear = torch.stack((growth, -turn, turn, growth), dim=1).view(batch, 2, 2)
        bend = self._bend(generator, 4, 3.0) + self._bend(generator, 10, 1.0)
        where = self._uniform(generator, 0.1, 0.9, 2) * size
        centre = torch.full_like(where, size / 2) if background else where
        angle, zoom = self._uniform(generator, 0, 2 * math.pi), self._uniform(generator, 0.7, 1.6)
        offset = self._uniform(generator, 0, TEXTURE_SIDE, 2)
        placing = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), 1).view(batch, 2, 2)
        return _Layer(
            texture=self.textures[chosen].float() / 255,
            placing=placing * zoom[:, None, None],
            offset=offset,
            slide=slide,
            linear=linear,
            bend=bend,
            centre=centre,
            outline=None if background else self._outline(generator),
            radius=self._uniform(generator, 0.06, 0.35, 1, 1) * size,
        )

    def _bend(self, generator: torch.Generator, cells: int, most: float) -> Tensor:
        """A smooth random field of so many cells a side; its strength is different for every sample."""
        field = torch.randn(self.batch_size, 2, cells, cells, device=self.device, generator=generator)
        strength = most * self._uniform(generator, 0, 1, 1, 1, 1) ** 2
        return F.interpolate(field, (self.size, self.size), mode="bicubic") * strength

    def _outline(self, generator: torch.Generator) -> Tensor:
        """How far a thing's edge lies out in 64 directions, as a share of its radius."""
        waves = torch.arange(1, 6, device=self.device)
        strength = torch.randn(self.batch_size, 5, 2, device=self.device, generator=generator)
        strength = strength * self._uniform(generator, 0, 0.3, 1, 1) / waves[None, :, None]
        angle = torch.linspace(0, 2 * math.pi, 65, device=self.device)[:-1] * waves[:, None]
        edge = torch.einsum("bk,ka->ba", strength[..., 0], angle.cos())
        return (1 + edge + torch.einsum("bk,ka->ba", strength[..., 1], angle.sin())).clamp(0.3, 2)

    def _render(self, layers: list[_Layer], moment: int) -> tuple[Tensor, Tensor]:
        """The frame at a moment (-1, 0, 1) and the velocity of what is seen at each pixel."""
        picture = motion = None
        for layer in layers:
            place = layer.home(self.grid, moment)
            colour, velocity = layer.colour(place), layer.velocity(place)
            if picture is None or motion is None:
                picture, motion = colour, velocity
                continue
            cover = layer.cover(place)
            picture = picture + (colour - picture) * cover
            motion = torch.where(cover > 0.5, velocity, motion)
        assert picture is not None
        assert motion is not None
        return picture, motion


@dataclass(frozen=True)
class _Layer:
    """One textured thing a sample, described in the coordinates of the middle frame."""

    texture: Float[Tensor, "B 3 S S"]
    placing: Float[Tensor, "B 2 2"]
    offset: Float[Tensor, "B 2"]
    slide: Float[Tensor, "B 2"]
    linear: Float[Tensor, "B 2 2"]
    bend: Float[Tensor, "B 2 H W"]
    centre: Float[Tensor, "B 2"]
    outline: Float[Tensor, "B 64"] | None
    radius: Float[Tensor, "B 1 1"]

    def _from_centre(self, place: Tensor) -> Tensor:
        return place - self.centre[..., None, None]

    def velocity(self, place: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B 2 H W"]:
        """Pixels from one frame to the next of what is at `place` in the middle frame."""
        height, width = self.bend.shape[2:]
        span = torch.tensor((width - 1, height - 1), device=place.device).view(1, 2, 1, 1)
        grid = (place / span * 2 - 1).permute(0, 2, 3, 1)
        bend = F.grid_sample(self.bend, grid, padding_mode="border", align_corners=True)
        straight = torch.einsum("bij,bjhw->bihw", self.linear, self._from_centre(place))
        return self.slide[..., None, None] + straight + bend

    def home(self, grid: Float[Tensor, "2 H W"], moment: int) -> Float[Tensor, "B 2 H W"]:
        """Where in the middle frame is what a pixel shows at `moment`: the fixed point of p = q - m u(p)."""
        seen = grid.expand(len(self.slide), -1, -1, -1)
        place = seen
        for _ in range(HOMING_STEPS if moment else 0):
            place = seen - moment * self.velocity(place)
        return place

    def colour(self, place: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B 3 H W"]:
        """The texture at `place`, mirrored at its borders."""
        at = torch.einsum("bij,bjhw->bihw", self.placing, self._from_centre(place))
        at = (at + self.offset[..., None, None]) / (TEXTURE_SIDE / 2) - 1
        # Bilinear would blur each frame according to where between pixels it falls.
        return F.grid_sample(
            self.texture, at.permute(0, 2, 3, 1), "bicubic", padding_mode="reflection", align_corners=False
        )

    def cover(self, place: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B 1 H W"]:
        """1 inside the thing's outline, 0 outside, soft over about one pixel."""
        assert self.outline is not None, "the background has no outline"
        x, y = self._from_centre(place).unbind(1)
        angle = torch.atan2(y, x) / (2 * math.pi) * 64 + 64
        before = angle.floor()
        share = angle - before
        index = before.long().flatten(1)
        near, far = (self.outline.gather(1, (index + step) % 64).view_as(x) for step in (0, 1))
        edge = self.radius * (near + (far - near) * share)
        return (edge - torch.hypot(x, y)).add(0.5).clamp(0, 1)[:, None]
