"""How each family of generators likes its prompts written."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from vitascope.errors import UnknownName


class PromptStyle(BaseModel):
    """A family's kind of prompt.

    `languages`: those that its text encoder was trained on, the preferred one first ("en", "zh").
    `words`: how long a prompt may become; Chinese counts two characters as a word.
    `manner`: what an LLM is told of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[str, ...]
    words: int
    manner: str
    source: str


STYLES: dict[str, PromptStyle] = {
    "plain": PromptStyle(
        languages=("en",),
        words=60,
        manner="Two or three plain sentences: who or what, how it moves, where, in which light.",
        source="Ours: a length that fits the 77 tokens of CLIP, the shortest text encoder of the families.",
    ),
    "cogvideox": PromptStyle(
        languages=("en",),
        words=150,
        manner=(
            "One paragraph of flowing, literal description, as a caption of a finished film: the subject and its "
            "look, what it does from beginning to end, the place, the light, the camera. No lists, no titles."
        ),
        source="CogVideo README (github.com/THUDM/CogVideo): trained on long captions; at most 226 T5 tokens.",
    ),
    "toy-world": PromptStyle(
        languages=("en", "zh"),
        words=24,
        manner="One short sentence: size, colour and name of one thing or person, what it does, where.",
        source="The embedded model's own caption grammar, `vitascope.toyworld.captions`.",
    ),
}


def style_named(name: str) -> PromptStyle:
    """The style called `name`. Raises: UnknownName."""
    if name not in STYLES:
        raise UnknownName("prompt style", name, STYLES, param="style")
    return STYLES[name]


def language_of(text: str) -> str:
    """ "zh" if a text has Chinese characters, else "en"."""
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in text) else "en"


def num_words(text: str) -> int:
    """The length of a text in words; two Chinese characters count as one."""
    chinese = sum("\u4e00" <= character <= "\u9fff" for character in text)
    latin = "".join(" " if "\u4e00" <= character <= "\u9fff" else character for character in text)
    return len(latin.split()) + (chinese + 1) // 2
