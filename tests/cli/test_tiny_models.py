"""The tiny models that anyone can write from the checkout, and the commands that are printed for them."""

from __future__ import annotations

import shlex

import pytest

import vitascope as package
from tests.generators.__main__ import TINY, main
from vitascope.generators import GENERATORS, for_model


def test_every_family_has_one() -> None:
    assert {tiny.family for tiny in TINY} == set(GENERATORS.names()) - {"colour-bars"}
    assert len({tiny.name for tiny in TINY}) == len(TINY)


@pytest.mark.parametrize("name", ["exvideo", "mimicmotion", "animatediff-sparsectrl", "tora-image-to-video"])
def test_the_printed_command_makes_a_clip(name, vitascope, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr("sys.argv", ["tests.generators", str(tmp_path / "tiny"), name])
    main()
    (line,) = capfd.readouterr().out.splitlines()
    done = vitascope(*shlex.split(line)[1:], "-q")
    assert done.code == 0, done.err
    assert package.read(tmp_path / "tiny" / f"{name}.mp4").num_frames > 3
    assert shlex.split(vitascope("info", tmp_path / "tiny" / f"{name}.mp4", "--json").json()["command"])


def test_weights_that_several_generators_run_are_given_to_the_one_that_is_named() -> None:
    made = for_model("animatediff-controlnet", weights="some/folder")
    assert (made.name, made.model) == ("animatediff-controlnet", "some/folder")
