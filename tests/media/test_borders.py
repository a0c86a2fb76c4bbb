"""Borders are found by measuring, to the row; content is left alone."""

import cv2
import numpy as np
import pytest

from vitascope.media.borders import Sides, black_bars, edge_profiles, remaining_border
from vitascope.media.geometry import letterbox, on_canvas


def scene(width, height, seed=0):
    rng = np.random.default_rng(seed)
    layers = [
        weight * cv2.resize(rng.normal(0, 1, (height // s, width // s, 3)), (width, height))
        for s, weight in ((3, 25), (12, 30))
    ]
    return (150 + sum(layers)).clip(45, 255).astype(np.uint8)


@pytest.fixture(params=["black", "blur"])
def fill(request):
    return request.param


@pytest.fixture(params=[(300, 120), (120, 300)], ids=["wide", "tall"])
def padded(request, fill):
    """A picture on its canvas, where it lies, and what its edges have."""
    width, height = request.param
    box = letterbox(width, height, 192, 160)
    canvas = on_canvas(scene(width, height), box, fill)
    return canvas, box.inner, edge_profiles(canvas, box.inner, fill)


def frames_of(canvas, count=10):
    noise = np.random.default_rng(1).normal(0, 1.5, (count, *canvas.shape))
    return (canvas + noise).clip(0, 255).astype(np.uint8)


def grown(frames, box, rows, first_frame=0):
    """The border grown by some rows from a frame on."""
    made = frames.copy()
    late = made[first_frame:]
    if rows and box.top:
        late[:, box.top : box.top + rows] = late[:, box.top - 1 : box.top]
        late[:, box.bottom - rows : box.bottom] = late[:, box.bottom : box.bottom + 1]
    elif rows:
        late[:, :, box.left : box.left + rows] = late[:, :, box.left - 1 : box.left]
        late[:, :, box.right - rows : box.right] = late[:, :, box.right : box.right + 1]
    return made


def sides(box, first, second):
    return Sides(top=first, bottom=second) if box.top else Sides(left=first, right=second)


@pytest.mark.parametrize("rows", [0, 1, 2, 4])
@pytest.mark.parametrize("first_frame", [0, 8])
def test_grown_borders_are_measured_to_the_row(padded, fill, rows, first_frame):
    canvas, box, own = padded
    assert set(own) == ({"top", "bottom"} if box.top else {"left", "right"})
    found = remaining_border(grown(frames_of(canvas), box, rows, first_frame), box, own, fill)
    assert found == sides(box, rows, rows)
    assert bool(found) == bool(rows)


def test_one_frame_of_many_is_not_believed(padded, fill):
    canvas, box, own = padded
    frames = frames_of(canvas, 40)
    frames[39:] = grown(frames[39:], box, 4)
    assert not remaining_border(frames, box, own, fill)


def test_content_that_is_dark_or_plain_deep_into_the_picture_is_content(padded, fill):
    canvas, box, own = padded
    frames = frames_of(canvas)
    rows, columns = box.slices()
    dark = frames.copy()
    dark[:, rows, columns] = np.where(
        np.arange(box.height)[:, None, None] < box.height * 0.4, 0, dark[:, rows, columns]
    )
    assert remaining_border(dark, box, own, fill) == Sides()


def test_pictures_that_are_as_dark_as_the_border_cannot_be_told_from_it():
    picture = scene(300, 120)
    picture[:20] = 2
    box = letterbox(300, 120, 192, 160)
    own = edge_profiles(on_canvas(picture, box), box.inner, "black")
    assert set(own) == {"bottom"}


def test_mirrored_borders_are_not_looked_for():
    box = letterbox(300, 120, 192, 160)
    assert edge_profiles(on_canvas(scene(300, 120), box, "mirror"), box.inner, "mirror") == {}


def test_black_bars_of_every_side():
    frames = np.zeros((7, 60, 90, 3), np.uint8)
    frames[:, 6:51, 9:87] = scene(78, 45)
    frames[3] = 0  # a cut to black says nothing
    frames += np.random.default_rng(0).integers(0, 9, frames.shape, np.uint8)
    assert black_bars(frames) == Sides(left=9, top=6, right=3, bottom=9)
    assert black_bars(np.zeros((3, 8, 8, 3), np.uint8)) == Sides()
    assert black_bars(np.full((3, 8, 8, 3), 200, np.uint8)) == Sides()


def test_bars_are_as_thin_as_in_any_frame():
    frames = np.full((4, 40, 40, 3), 180, np.uint8)
    frames[:3, :10] = 0
    frames[3, :4] = 0
    assert black_bars(frames) == Sides(top=4)
