"""Workflow files: what is read, what is refused with its file and line, what `--set` changes."""

import textwrap

import pytest

from vitascope.errors import NotFound, RequestError, UnknownName
from vitascope.workflows.workflow import load, names


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text).lstrip())
        return str(path)

    return write


def test_every_built_in_workflow_loads_and_says_what_it_does():
    assert "loop" in names()
    for name in names():
        assert len(load(name).summary) > 20


def test_steps_around_and_after_the_generator(write):
    path = write(
        """
        summary: three stages
        steps:
          - reverse
          - generate: {model: colour-bars, num_inference_steps: 2}
          - reverse: {and_forth: true}
        """
    )
    workflow = load(path)
    assert [step.name for step in workflow.chain.around] == ["reverse"]
    assert workflow.chain.generator.num_inference_steps == 2
    assert workflow.chain.after[0].and_forth is True
    assert workflow.ids == ("reverse", "generate", "reverse-2")


def test_settings_reach_the_step_they_name(write):
    path = write("steps: [{generate: {model: colour-bars}}, reverse]")
    assert load(path, {"reverse.and-forth": True}).chain.after[0].and_forth is True
    assert load(path, {"generate.num_inference_steps": 9}).chain.generator.num_inference_steps == 9
    with pytest.raises(UnknownName, match="did you mean 'reverse'"):
        load(path, {"revers.and_forth": True})
    with pytest.raises(RequestError, match=r"neither step\.parameter"):
        load(path, {"and_forth": True})


def test_a_setting_takes_the_place_of_what_says_the_same_in_another_way():
    def interpolate(**settings):
        asked = {f"interpolate.{name}": value for name, value in settings.items()}
        return load("text-to-video-plus", asked).chain.after[0]

    assert (interpolate().factor, interpolate().fps) == (4, None)
    assert (interpolate(fps=24).factor, interpolate(fps=24).fps) == (None, 24)
    assert interpolate(factor=3, fps=None).factor == 3
    with pytest.raises(RequestError, match="not both"):
        interpolate(factor=3, fps=24)


def test_a_workflow_may_contain_another(write):
    write("steps: [{reverse: {and_forth: true}}]", "inner.yaml")
    path = write("steps: [{generate: {model: colour-bars}}, {workflow: inner.yaml}]")
    assert load(path).chain.after[0].and_forth is True


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("steps:\n  - revers\n", 2, "did you mean 'reverse'"),
        ("steps:\n  - reverse:\n      and_fort: true\n", 2, "and_forth"),
        ("steps:\n  - reverse:\n      and_forth: [1]\n", 2, "and_forth"),
        ("steps:\n  - reverse: 3\n", 2, "mapping"),
        ("steps:\n  - reverse\n  - {reverse: , generate: }\n", 3, "one name"),
        ("steps:\n  - generate: {model: colour-bars}\n  - generate: {model: colour-bars}\n", 3, "second"),
        ("summary: nothing\n", 1, "needs `steps`"),
        ("steps: reverse\n", 1, "must be a list"),
        ("stages: []\n", 1, "allowed: steps, summary"),
        ("steps:\n  - &a [*a]\n", 2, "contains itself"),
        ("steps:\n  - reverse\n - generate\n", 3, ""),
        ("steps:\n  - workflow: mine.yaml\n", 2, "contains itself"),
        ("steps:\n  - workflow: nowhere\n", 2, "unknown workflow"),
        ("steps:\n  - revers\n", 2, "allowed: expand-prompt, "),
        ("steps:\n  - reverse:\n      and_forth: true\n      and_forth: false\n", 4, "a second time"),
        ("steps:\n  - \0\n", 2, "not a text file"),
        ("", 1, "empty"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_line(write, text, line, words):
    path = write(text)
    with pytest.raises(RequestError) as caught:
        load(path)
    assert f"{path}, line {line}" in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_steps_and_no_file(write, tmp_path):
    with pytest.raises(RequestError, match="no steps"):
        load(write("steps: []"))
    with pytest.raises(NotFound):
        load(str(tmp_path / "none.yaml"))
    with pytest.raises(UnknownName, match="did you mean 'loop'"):
        load("lop")


def test_a_switch_is_no_knob_and_a_knob_no_switch(write):
    path = write("steps: [{generate: {model: colour-bars, speed: turbo}}]")
    with pytest.raises(
        RequestError, match="speed says where and how all of the workflow runs; say --set speed="
    ):
        load(path)
    path = write("steps: [{generate: {model: colour-bars}}]")
    with pytest.raises(
        RequestError, match=r"nor a switch; for a knob of the model say generate\.seconds_a_step"
    ):
        load(path, {"seconds_a_step": 1})
