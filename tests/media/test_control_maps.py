"""Control maps of a frame whose edges are known."""

import numpy as np
import pytest

from vitascope.errors import UnknownName
from vitascope.media.control_maps import control_map

FRAME = np.full((64, 96, 3), 40, np.uint8)
FRAME[16:48, 24:72] = (220, 180, 90)


@pytest.mark.parametrize("kind", ["canny", "soft-edge"])
def test_edges_are_where_the_brightness_changes_and_nowhere_else(kind):
    drawn = control_map(FRAME, kind)
    assert drawn.shape == FRAME.shape and drawn.dtype == np.uint8
    rows, columns = np.nonzero(drawn[..., 0] > 128)
    assert len(rows) > 100
    sides = ((rows, 15.5), (rows, 47.5), (columns, 23.5), (columns, 71.5))
    near = np.any([np.abs(places - side) < 3 for places, side in sides], axis=0)
    assert near.all()
    assert not drawn[30:34, 40:50].any(), "the inside of a plain square has no edge"


def test_given_stays_grey_loses_colour_and_tile_loses_detail():
    assert control_map(FRAME, "given") is FRAME
    grey = control_map(FRAME, "grey")
    assert (grey[..., 0] == grey[..., 2]).all() and grey[20, 30, 0] > grey[0, 0, 0]
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert control_map(noise, "tile").std() < noise.std() / 3


def test_an_unknown_map_is_named():
    with pytest.raises(UnknownName, match="canny"):
        control_map(FRAME, "cany")
