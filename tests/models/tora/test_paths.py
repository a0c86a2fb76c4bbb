"""Paths of any length on pictures of any size; equality with upstream stands in tests/parity."""

from __future__ import annotations

import numpy as np
import pytest

from vitascope.models.tora.colours import film_of
from vitascope.models.tora.paths import canvas_tracks, flow_of, on_picture, per_frame
from vitascope.tracks import Trajectories


@pytest.mark.parametrize("num_points", [2, 3, 8, 9, 10, 17, 18, 40])
def test_a_track_has_a_point_a_frame_from_its_first_to_its_last(num_points):
    track = [(number, 2 * number) for number in range(num_points)]
    placed = per_frame(track, 9)
    assert len(placed) == 9
    assert placed[0] == track[0]
    if num_points <= 9:
        assert placed[-1] == track[-1]
        assert set(track) <= set(placed)


def test_fractions_come_back_to_the_cells_that_they_were_drawn_in():
    cells = [(number, 255 - number) for number in range(256)]
    there = Trajectories(paths=(tuple((x / 256, y / 256) for x, y in cells),))
    and_back = tuple((x * 7 / 3 * 3 / 7, y * 7 / 3 * 3 / 7) for x, y in there.paths[0])
    assert canvas_tracks(there) == canvas_tracks(Trajectories(paths=(and_back,))) == [cells]


def test_the_far_border_is_the_last_pixel():
    (track,) = canvas_tracks(Trajectories.stated([[0, 0], [1, 1]]))
    assert on_picture(track, 720, 480) == [(0, 0), (719, 479)]


def test_what_moves_is_coloured_where_it_was_and_the_rest_is_white():
    flow = flow_of([[(64, 64), (96, 64)]], 5, 128, 96)
    assert not flow[0].any()
    assert tuple(flow[1, 24, 32]) == pytest.approx((4, 0), abs=1e-3)
    film = film_of(flow).numpy()
    assert film.shape == (5, 3, 96, 128)
    assert (film[0] == 255).all() and (film[1, :, -1, -1] == 255).all()
    assert (film[1, :, 24, 32] != 255).any()
    backwards = film_of(-flow).numpy()
    assert np.abs(film[1, :, 24, 32].astype(int) - backwards[1, :, 24, 32]).max() > 100


def test_nothing_that_moves_is_a_white_film():
    assert (film_of(np.zeros((2, 16, 16, 2), np.float32)).numpy() == 255).all()
