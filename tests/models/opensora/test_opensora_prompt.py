"""How prompts are worded for Open-Sora."""

import pytest

from vitascope.errors import RequestError
from vitascope.models.opensora.prompt import append_scores, prompt_of_loop, word_prompt


def test_scores_go_behind_the_prompt_as_in_training():
    said = append_scores("a cat", aesthetic_score=6.5, motion_score=4, camera_motion="pan right")
    assert said == "a cat aesthetic score: 6.5. motion score: 4.0. camera motion: pan right."


def test_a_score_that_the_prompt_states_is_kept():
    assert append_scores("a cat aesthetic score: 3.0.") == "a cat aesthetic score: 3.0."


def test_prompts_are_cleaned():
    assert word_prompt("A CAT — see https://cats.com ©", None) == "a cat - see"
    assert word_prompt("A Cat.") == "a cat. aesthetic score: 6.5."
    assert word_prompt("", None) == ""


@pytest.mark.parametrize("prompt", ["一只猫", "©©", "https://cats.com/"])
def test_a_prompt_of_which_nothing_is_left_is_refused(prompt):
    with pytest.raises(RequestError, match="nothing is left"):
        word_prompt(prompt)


def test_a_partly_chinese_prompt_is_warned_about(caplog):
    caplog.set_level("INFO")
    assert word_prompt("a cat 猫", None) == "a cat"
    assert "English only" in caplog.text


@pytest.mark.parametrize(("loop", "said"), [(0, "a day"), (1, "a day"), (2, "a night"), (9, "a night")])
def test_a_text_holds_until_the_next_number(loop, said):
    assert prompt_of_loop("|0|a day |2| a night", loop) == said
    assert prompt_of_loop("plain", loop) == "plain"


@pytest.mark.parametrize("prompt", ["|0|a|1", "|0|a|b|c", "|0|a|0|b", "|0|a|3|b|2|c"])
def test_malformed_prompts_by_loop_are_refused(prompt):
    with pytest.raises(RequestError):
        prompt_of_loop(prompt, 0)
