import pytest

from vitascope.errors import UnknownName
from vitascope.models.opensora_plan.prompts import clean_prompt
from vitascope.models.opensora_plan.releases import RELEASES, release_called


def test_prompts_are_cleaned_but_keep_their_chinese():
    prompt = '  A <b>Red</b> ball, see https://example.com/x.png — "now"  '
    assert clean_prompt(prompt) == 'a red ball, see - "now"'
    assert clean_prompt("一只红色的猫 RUNS") == "一只红色的猫 runs"
    assert clean_prompt("一只𠀀猫") == "𠀀"  # with a rarer character among them, only that one is kept


def test_the_authors_template_survives_cleaning_as_words():
    worded = RELEASES["1.2"].prompt_template.format("A cat runs")
    assert clean_prompt(worded) == "masterpiece , best quality , ultra-detailed , a cat runs."


def test_an_unknown_release_is_refused():
    with pytest.raises(UnknownName, match=r"1\.2"):
        release_called("1.21")
