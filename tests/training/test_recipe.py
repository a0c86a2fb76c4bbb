"""A recipe is read whole, and every complaint names its file and line."""

import pytest

from vitascope.errors import NotFound, RequestError
from vitascope.training.recipe import Recipe, read_recipe

GOOD = """name: look
model: sprout
data:
  - path: clips
    trigger: style0
adapter:
  rank: 8
"""


@pytest.fixture
def recipe(tmp_path):
    def recipe(text, **changes):
        (tmp_path / "recipe.yaml").write_text(text)
        return read_recipe(tmp_path / "recipe.yaml", changes)

    return recipe


def test_paths_are_beside_the_file_and_changes_win(recipe, tmp_path):
    read = recipe(GOOD, **{"adapter.rank": 4, "steps": 7})
    assert read.data[0].path == tmp_path / "clips"
    assert (read.adapter.rank, read.steps, read.adapter.strength) == (4, 7, 4.0)
    assert recipe("name: a\nmodel: m\ndata: clips\n").data[0].path == tmp_path / "clips"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GOOD.replace("rank: 8", "rank: 0"),
            r"recipe.yaml, line 7: adapter.rank='0': .*greater than or equal",
        ),
        (GOOD.replace("rank:", "rnak:"), r"line 7: adapter.rnak='8': .*known here: alpha, dora.*rank"),
        (GOOD.replace("    trigger", "    triger"), r"line 5: data.0.triger.*known here: captions, flip"),
        (GOOD.replace("model: sprout\n", ""), r"line 1: model: Field required"),
        (GOOD.replace("data:", "data: []\nother:"), r"line 3: data=.*at least 1"),
        (GOOD + "  alpha: [\n", r"line \d+: .*expected"),
        ("", r"line 1: the file is empty"),
        ("- a\n", r"line 1: the recipe must be a mapping"),
        (
            GOOD + "validation: {prompts: [a, b], images: [x.png]}\n",
            r"line 8: validation=.*1 images for 2 prompts",
        ),
    ],
)
def test_complaints_name_file_and_line(recipe, text, message):
    with pytest.raises(RequestError, match=message):
        recipe(text)


def test_a_wrong_change_is_told_as_such(recipe, tmp_path):
    with pytest.raises(RequestError, match=r"--set adapter.rank='0'"):
        recipe(GOOD, **{"adapter.rank": 0})
    with pytest.raises(RequestError, match=r"--set name.x: name is no group"):
        recipe(GOOD, **{"name.x": 0})
    with pytest.raises(NotFound, match="no training recipe file"):
        read_recipe(tmp_path / "none.yaml")


def test_every_setting_is_explained():
    def parts(model, seen=()):
        for name, field in model.model_fields.items():
            inner = getattr(field.annotation, "model_fields", None)
            if inner:
                yield from parts(field.annotation, (*seen, name))
            elif not field.description and name not in {"model", "revision", "seed"}:
                yield ".".join((*seen, name))

    plain = {"data", "validation.num_inference_steps", "validation.guidance_scale"}
    assert set(parts(Recipe)) <= plain


def test_how_long_and_where_may_change_between_runs_what_is_learnt_may_not(recipe):
    one = recipe(GOOD)
    assert recipe(GOOD, steps=9, output="elsewhere", name="other").fingerprint() == one.fingerprint()
    assert recipe(GOOD, **{"adapter.rank": 4}).fingerprint() != one.fingerprint()
    assert recipe(GOOD, seed=1).fingerprint() != one.fingerprint()
