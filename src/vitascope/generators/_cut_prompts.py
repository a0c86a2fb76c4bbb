"""Prompts that are longer than what the text encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitascope.context import Context
from vitascope.task import Task


def warn_of_cut_prompts(
    tasks: Sequence[Task], tokenizer: Any, max_length: int, model: str, context: Context
) -> None:
    """Warn of the words that the text encoder leaves out. Units: max_length in tokens."""
    for index, task in enumerate(tasks):
        for kind, text in (("prompt", task.prompt), ("negative prompt", task.negative_prompt)):
            tokens = tokenizer(text, truncation=False, verbose=False).input_ids
            if len(tokens) > max_length:
                cut = tokenizer.decode(tokens[max_length - 1 :], skip_special_tokens=True).strip()
                context.warn(
                    f"the {kind} has {len(tokens)} tokens and {model} reads {max_length}; left out: {cut[:200]!r}",
                    clip=index,
                )
