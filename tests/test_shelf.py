"""Shelves find items by file name and offer the nearest name for a wrong one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vitascope
from vitascope.errors import RequestError, UnknownName
from vitascope.generators import GENERATORS
from vitascope.steps import STEPS


def test_names_are_file_names():
    assert "colour-bars" in GENERATORS.names()
    assert "base" not in GENERATORS.names()


def test_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'colour-bars'"):
        GENERATORS["color-bars"]


def test_unknown_knob_and_wrong_value_are_one_line():
    with pytest.raises(UnknownName, match="and_forth"):
        STEPS["reverse"].with_knobs(and_fort=True)
    with pytest.raises(RequestError, match="num_inference_steps='0'"):
        GENERATORS["colour-bars"].with_knobs(num_inference_steps=0)


THIRD_PARTY = """
from vitascope.generators.colour_bars import ColourBars

class Stripes(ColourBars):
    \"\"\"Stripes from another package.\"\"\"

    thickness: int = 1
"""


def test_another_package_brings_a_generator_through_its_entry_point(tmp_path):
    (tmp_path / "stripy.py").write_text(THIRD_PARTY)
    about = tmp_path / "stripy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stripy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[vitascope.generators]\nmy-stripes = stripy:Stripes\n")
    paths = [str(tmp_path), str(Path(vitascope.__file__).parents[1])]

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "vitascope", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert "Stripes from another package." in run("list", "generators").stdout
    made = run("generate", "a star", "-m", "my-stripes", "--set", "thickness=3", "-q", "-o", "star.mp4")
    assert made.returncode == 0, made.stderr
    recipe = vitascope.read(tmp_path / "star.mp4").recipe
    assert recipe.stages[0].name == "my-stripes"
    assert recipe.stages[0].knobs["thickness"] == 3
