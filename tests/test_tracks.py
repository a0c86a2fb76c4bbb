"""Trajectories as files and as data."""

from __future__ import annotations

import pytest

from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.tracks import Trajectories

ONE = ((0.25, 0.5), (0.75, 0.5))
OTHER = ((0.0, 0.0), (0.5, 0.25))


@pytest.mark.parametrize(
    "text",
    [
        '{"paths": [[[0.25, 0.5], [0.75, 0.5]], [[0, 0], [0.5, 0.25]]]}',
        "[[64, 128], [192, 128]]\n[[0, 0], [128, 64]]\n",
        "[[64, 128], [192, 128]],\n[[0, 0], [128, 64]],\n",
        "[[[64, 128], [192, 128]],\n [[0, 0],\n [128, 64]]]",
        "64, 128\n192,128\n\n\n 0,0\n128,64\n",
        "\ufeff64,128\r\n192,128\r\n\r\n0,0\r\n128,64",
    ],
)
def test_forms_of_files(text, tmp_path):
    file = tmp_path / "paths.txt"
    file.write_text(text, encoding="utf-8")
    assert Trajectories.read(file).paths == Trajectories.of(str(file)).paths == (ONE, OTHER)


def test_several_files_and_other_canvases(tmp_path):
    (tmp_path / "a.txt").write_text("64,128\n192,128")
    (tmp_path / "b.json").write_text("[[0, 0], [128, 64]]")
    assert Trajectories.of([tmp_path / "a.txt", tmp_path / "b.json"]).paths == (ONE, OTHER)
    assert Trajectories.read(tmp_path / "a.txt", width=512, height=256).paths[0][0] == (0.125, 0.5)


@pytest.mark.parametrize("said", [[ONE, OTHER], {"paths": [ONE, OTHER]}, Trajectories(paths=(ONE, OTHER))])
def test_forms_of_data(said):
    assert Trajectories.stated(said).paths == Trajectories.of(said).paths == (ONE, OTHER)


def test_one_path_and_text_as_a_form_sends_it():
    assert Trajectories.stated(ONE).paths == (ONE,)
    assert Trajectories.stated("[[0.25, 0.5], [0.75, 0.5]]").paths == (ONE,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("hello\n", "line 1 is 'hello', not a point"),
        ("1,2\n3,4,5", "line 2 is '3,4,5'"),
        ("nan,3\n4,5", "finite number"),
        ("[]", "at least 1 item"),
        ("[[[1,2],[3]]]", "paths.0.1.1: Field required"),
        ('[["a","b"]]', "valid number"),
        ("[5]", "paths.0='5'"),
        ("{", "Invalid JSON"),
        ('{"path": []}', "paths: Field required"),
        ('{"paths": [[[NaN, 1], [0, 0]]]}', "finite number"),
        ("[" * 100_000, "recursion"),
        ("1,2\n" * 300_000, "more than 1048576 bytes"),
        ("\x89PNG\r\n\x1a\n", "not a point"),
    ],
    ids=str,
)
def test_what_is_no_trajectory_file_is_refused_in_one_line(text, words, tmp_path):
    file = tmp_path / "paths.txt"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidMedia, match="is not a trajectory file") as refused:
        Trajectories.read(file)
    assert words.lower() in str(refused.value).lower() or "utf-8" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_there_and_what_is_no_data():
    with pytest.raises(NotFound, match="no trajectory file at"):
        Trajectories.of("gone.txt")
    for said in ("gone.txt", "/etc/passwd", 5, [], {"paths": []}, [["/etc/passwd"]], [[[0, float("inf")]]]):
        with pytest.raises(RequestError):
            Trajectories.stated(said)
