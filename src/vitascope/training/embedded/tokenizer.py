"""Sprout's words: every English word and Chinese character of the toy world, and room for new ones."""

from __future__ import annotations

import re

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from vitascope.toyworld import wording
from vitascope.training.embedded.architecture import MAX_TEXT

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
NUM_SPARE = 64
"""Unused words, `style0` ... `style63`: trigger words for fine-tuning."""

_GRAMMAR_EN = (
    "a an the one of on in at to and is are it with from left right camera video cartoon animation clip shirt "
    "t top wearing dressed trousers pants his her up down over under two some there make show me please big "
    "pictures moving fast slowly across screen frame scene simple cute nice beautiful background side toward "
    "towards very then while"
)
_GRAMMAR_ZH = (
    "一个只在左右边,的有正着穿身和裤子上衣服衬衫恤从往向朝镜头背景色里中下是了动画视频慢快地请请生成两位名"
    "色去来飞到这那可爱"
)


def vocabulary() -> list[str]:
    """All words of the captions in a fixed order."""
    tables = [v for k, v in vars(wording).items() if k.isupper()]
    found: set[str] = set()

    def collect(value: object) -> None:
        if isinstance(value, str):
            found.update(re.findall(r"[a-z]+|[\u4e00-\u9fff]", value.lower()))
        elif isinstance(value, dict):
            for item in value.values():
                collect(item)
        elif isinstance(value, tuple):
            for item in value:
                collect(item)

    collect(tuple(tables))
    collect((_GRAMMAR_EN, _GRAMMAR_ZH))
    for says in [says for verbs in wording.MOVES_EN.values() for says, _ in verbs] + [
        says for verbs in wording.VERBS_EN.values() for says, _ in verbs
    ]:
        word = says.split()[0]
        stem = (
            word[:-2] if word in ("goes", "does") else word[:-3] + "y" if word.endswith("ies") else word[:-1]
        )
        found.add(stem)
    return sorted(found)


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that ignores case, takes Chinese by the character, and marks unknown words."""
    words = [PAD, END, UNKNOWN, *(f"style{i}" for i in range(NUM_SPARE)), ",", ".", "，", "。", "-"]
    words += [w for w in vocabulary() if w not in words]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=True, handle_chinese_chars=True, strip_accents=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, model_max_length=MAX_TEXT
    )
