"""Write a short prompt out in the manner that the generator likes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from vitascope.atomic import write_bytes
from vitascope.context import Context
from vitascope.language.chat import Endpoint, NoAnswer, ask
from vitascope.language.lexicon import written_out
from vitascope.language.styles import PromptStyle, language_of, num_words, style_named
from vitascope.language.toyworld import completed
from vitascope.shelf import Item
from vitascope.steps.base import Note, Step
from vitascope.task import Task
from vitascope.toyworld.captions import parse
from vitascope.toyworld.scenes import COLOURS

INSTRUCTIONS = (
    "You rewrite prompts for a video generator. Keep every person, thing, colour, number and direction of the "
    "prompt; contradict nothing. Answer with the new prompt alone, in {language}, at most {words} words. {manner}"
)
REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry|i can(no|')t|i am unable|i'?m unable|as an ai|抱歉|对不起|我无法|我不能|很抱歉)",
    re.IGNORECASE,
)
THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
COLOUR_WORDS = {*COLOURS, "brown", "grey", "gray", "golden", "violet", "silver"}
LANGUAGES = {"en": "English", "zh": "Chinese"}


class ExpandPrompt(Step):
    """Writes the prompt out with an LLM, or with a small built-in lexicon where none is set up.

    The endpoint is any OpenAI-compatible one: `url` and `llm`, else VITASCOPE_LLM_URL and VITASCOPE_LLM_MODEL; its
    key comes from VITASCOPE_LLM_KEY alone. What fails or is refused leaves the prompt as it was, with a warning.
    Both prompts stand in the recipe. Units: timeout_s in seconds for one whole answer.
    """

    url: str | None = None
    llm: str | None = None
    style: str | None = Field(None, description="how the prompt is written; None = as the generator likes it")
    offline: bool = Field(False, description="use the built-in lexicon even where an endpoint is set up")
    timeout_s: float = Field(20.0, gt=0, le=600)
    attempts: int = Field(2, ge=1, le=10)

    def fitted_to(self, generator: Item) -> Self:
        """This step with the generator's own style of prompt, unless one was chosen."""
        if self.style is not None:
            return self
        return self.model_copy(update={"style": generator.prompt_style()})  # type: ignore[attr-defined]

    def check(self, task: Task) -> None:  # noqa: ARG002
        """Raises: UnknownName for a style that there is not."""
        style_named(self.style or "plain")

    def prepare(self, task: Task, context: Context) -> tuple[Task, Note]:
        """The task with the longer prompt; the note keeps both and says who wrote it."""
        context.progress(self.name, 0, 1)
        style_name = self.style or "plain"
        style = style_named(style_name)
        endpoint = None if self.offline else self._endpoint(context)
        expanded, by, reason = task.prompt, "nobody", ""
        if endpoint is None:
            expanded, by, reason = _by_lexicon(task, style_name, style)
        else:
            try:
                expanded, by = self._by_llm(task.prompt, endpoint, style, context), endpoint.model
            except NoAnswer as error:
                reason = str(error)
        if reason:
            context.warn(f"the prompt was left as it is: {reason}")
        context.progress(self.name, 1, 1)
        note: dict[str, Any] = {"original": task.prompt, "expanded": expanded, "by": by}
        return task.model_copy(update={"prompt": expanded}), {
            **note,
            **({"reason": reason} if reason else {}),
        }

    def _endpoint(self, context: Context) -> Endpoint | None:
        settings = context.settings
        url = self.url or settings.llm_url
        if not url:
            return None
        return Endpoint(url, self.llm or settings.llm_model or "default", settings.llm_key)

    def _by_llm(self, prompt: str, endpoint: Endpoint, style: PromptStyle, context: Context) -> str:
        """A usable answer, kept on disk by the content of the question. Raises: NoAnswer, JobCancelled."""
        said_in = language_of(prompt)
        language = said_in if said_in in style.languages else style.languages[0]
        instructions = INSTRUCTIONS.format(
            language=LANGUAGES[language], words=style.words, manner=style.manner
        )
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": prompt}]
        kept = _kept_at(context, endpoint, messages)
        if kept.is_file():
            return kept.read_text(encoding="utf-8")
        for attempt in range(1, self.attempts + 1):
            try:
                answer = ask(
                    endpoint, messages, context, timeout_s=self.timeout_s, max_tokens=4 * style.words
                )
                usable = _usable(answer, language, style)
                _check_kept(prompt, usable, self.style or "plain")
                break
            except NoAnswer:
                if attempt == self.attempts:
                    raise
                context.cancel.wait(0.5 * 2 ** (attempt - 1))
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(kept, usable.encode())
        return usable


def _kept_at(context: Context, endpoint: Endpoint, messages: list[dict[str, str]]) -> Path:
    asked = json.dumps([endpoint.url, endpoint.model, messages], ensure_ascii=False)
    return context.settings.home / "expansions" / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.txt"


def _usable(answer: str, language: str, style: PromptStyle) -> str:
    """The prompt in an LLM's answer. Raises: NoAnswer if there is none that can be used."""
    text = " ".join(THINKING.sub(" ", answer).split()).strip("\"'“”‘’` ")
    if not text:
        raise NoAnswer("the answer is empty")
    if text.startswith("<"):
        raise NoAnswer("the answer is markup, not a prompt")
    if REFUSAL.match(text):
        raise NoAnswer(f"the endpoint refused: {text[:80]!r}")
    if num_words(text) > 2 * style.words:
        raise NoAnswer(f"the answer has {num_words(text)} words, and {style.words} were asked for")
    if language_of(text) != language:
        raise NoAnswer(f"the answer is not in {LANGUAGES[language]}")
    return text


def _check_kept(prompt: str, answer: str, style_name: str) -> None:
    """Whether an answer still speaks of the prompt, as far as words can tell. Raises: NoAnswer."""
    if style_name == "toy-world":
        kept = parse(answer)._asdict()
        lost = [
            f"{name} ({said})"
            for name, said in parse(prompt)._asdict().items()
            if said not in (None, kept[name])
        ]
    elif language_of(prompt) == language_of(answer) == "en":
        lost = sorted(_colour_words(prompt) - _colour_words(answer))
        words = _stems(prompt)
        if words and not words & _stems(answer):
            lost.append("every word")
    else:
        lost = []
    if lost:
        raise NoAnswer(f"the answer lost of the prompt: {', '.join(lost)}; it says {answer[:80]!r}")


def _colour_words(text: str) -> set[str]:
    return COLOUR_WORDS & set(re.findall(r"[a-z]+", text.lower()))


def _stems(text: str) -> set[str]:
    """The beginnings of the longer words, so that `rides` and `riding` count as one."""
    return {word[:4] for word in re.findall(r"[a-z]{4,}", text.lower())}


def _by_lexicon(task: Task, name: str, style: PromptStyle) -> tuple[str, str, str]:
    """What the built-in lexicon makes of a prompt: the prompt, who wrote it, why not if it did not."""
    if name == "toy-world":
        expanded = completed(task.prompt, task.seed)
        if expanded is None:
            return task.prompt, "nobody", "the built-in expander knows the toy world's words alone"
        return expanded, "built-in toy-world grammar", ""
    if language_of(task.prompt) not in style.languages or language_of(task.prompt) != "en":
        return task.prompt, "nobody", "the built-in lexicon writes English only; set VITASCOPE_LLM_URL"
    return written_out(task.prompt, task.seed, style.words), "built-in lexicon", ""
