"""Fitting rectangles: even sizes, one scale on both axes, exact inverses."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vitascope.errors import UnsupportedTask
from vitascope.media.geometry import Box, even_size, fit, letterbox, on_canvas, resize, shrunk

sides = st.integers(64, 4096)
even_sides = st.integers(32, 1024).map(lambda n: 2 * n)


def placed(width, height, canvas_width, canvas_height):
    try:
        return letterbox(width, height, canvas_width, canvas_height)
    except UnsupportedTask:
        assume(False)


@given(sides, sides, even_sides, even_sides)
def test_inner_box_is_even_inside_and_within_one_pixel_of_the_shape(
    width, height, canvas_width, canvas_height
):
    box = placed(width, height, canvas_width, canvas_height)
    inner = box.inner
    assert inner.width % 2 == inner.height % 2 == 0
    assert inner.left >= 0 and inner.top >= 0
    assert inner.right <= canvas_width and inner.bottom <= canvas_height
    assert inner.width == canvas_width or inner.height == canvas_height
    off_in_width = abs(inner.width - Fraction(inner.height * width, height))
    off_in_height = abs(inner.height - Fraction(inner.width * height, width))
    assert min(off_in_width, off_in_height) <= 1


@given(sides, sides, even_sides, even_sides)
def test_no_pixel_is_stretched_and_hardly_anything_is_cut(width, height, canvas_width, canvas_height):
    box = placed(width, height, canvas_width, canvas_height)
    assert Fraction(box.inner.width) / box.source.width == Fraction(box.inner.height) / box.source.height
    one_pixel = Fraction(1, min(box.inner.width, box.inner.height))
    assert 0 <= 1 - box.source.width / width <= one_pixel
    assert 0 <= 1 - box.source.height / height <= one_pixel
    assert box.source.width == width or box.source.height == height


@given(sides, sides, even_sides, even_sides, st.fractions(-5000, 5000), st.fractions(-5000, 5000))
def test_maps_are_exact_inverses(width, height, canvas_width, canvas_height, x, y):
    box = placed(width, height, canvas_width, canvas_height)
    assert box.to_source(*box.to_canvas(x, y)) == (x, y)
    assert box.to_canvas(*box.to_source(x, y)) == (x, y)


@given(even_sides, even_sides, sides, sides, st.tuples(*[st.integers(0, 12)] * 4))
def test_shrunk_stays_inside_the_cut_and_keeps_the_shape(box_width, box_height, width, height, cut):
    try:
        fit(width, height, box_width, box_height)
    except UnsupportedTask:
        assume(False)
    box = Box(10, 20, box_width, box_height)
    small = shrunk(box, width, height, cut)
    assert small.width % 2 == small.height % 2 == 0
    assert small.left >= 10 + cut[0] and small.top >= 20 + cut[1]
    assert small.right <= box.right - cut[2] and small.bottom <= box.bottom - cut[3]
    ideal = Fraction(width, height)
    assert (
        min(abs(small.width - small.height * ideal), abs(small.height - small.width / ideal)) <= 1
        or min(small.width, small.height) == 2
    )


@given(st.integers(1, 99), st.integers(1, 99))
def test_even_size_adds_at_most_one(width, height):
    even = even_size(width, height)
    assert even[0] % 2 == even[1] % 2 == 0
    assert 0 <= even[0] - width <= 1 and 0 <= even[1] - height <= 1


def test_refuses_odd_canvases_and_threads():
    with pytest.raises(UnsupportedTask, match="720x482"):
        letterbox(100, 100, 720, 481)
    with pytest.raises(UnsupportedTask, match="10000x10"):
        letterbox(10000, 10, 720, 480)


def rings(width, height):
    """Round rings about the middle: any stretching makes them ovals."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2)
    return np.repeat((127.5 + 127 * np.cos(radius / 6)).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("canvas", [(96, 64), (64, 96), (200, 320)])
@pytest.mark.parametrize("size", [(101, 101), (131, 77), (77, 131)])
def test_a_circle_stays_a_circle(size, canvas):
    box = letterbox(*size, *canvas)
    shown = on_canvas(rings(*size), box)[box.inner.slices()].astype(float)
    scale = float(box.scale)
    y, x = np.mgrid[: shown.shape[0], : shown.shape[1]]
    radius = np.hypot(x - (shown.shape[1] - 1) / 2, y - (shown.shape[0] - 1) / 2) / scale
    expected = 127.5 + 127 * np.cos(radius / 6)
    assert np.abs(shown[2:-2, 2:-2, 0] - expected[2:-2, 2:-2]).mean() < 8 / scale + 2


@pytest.mark.parametrize("fill", ["black", "blur", "mirror"])
def test_fills_leave_the_picture_alone_and_fill_the_rest(fill):
    picture = np.full((40, 80, 3), 200, np.uint8)
    picture[:, ::2] = 90
    box = letterbox(80, 40, 80, 80)
    canvas = on_canvas(picture, box, fill)
    assert canvas.shape == (80, 80, 3)
    assert np.array_equal(canvas[box.inner.slices()], picture)
    above = canvas[: box.inner.top]
    assert (above.max() == 0) == (fill == "black")
    if fill == "mirror":
        assert np.array_equal(above, picture[: box.inner.top][::-1])
    if fill == "blur":
        assert above.std() < picture.std() / 4
        assert abs(above.mean() - picture.mean()) < 5


def test_resize_averages_down_and_keeps_flat_colour_up():
    checks = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(resize(checks, 16, 16).astype(int) - 127).max() <= 1
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert (resize(flat, 31, 17) == 77).all()
    assert resize(flat, 31, 17).shape == (17, 31, 3)
