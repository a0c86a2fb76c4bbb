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


# A generator's style is the one of its name, unless it says another; "plain" where there is none.
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
    "wan": PromptStyle(
        languages=("en", "zh"),
        words=100,
        manner=(
            "One paragraph of 80 to 100 words: the subject's looks, number and pose, where things stand, the style, "
            "the size of the shot, then natural movement in plain verbs and how the camera moves."
        ),
        source="github.com/Wan-Video/Wan2.1, wan/utils/prompt_extend.py; its text encoder, umT5, reads both languages.",
    ),
    "hunyuan": PromptStyle(
        languages=("en", "zh"),
        words=120,
        manner=(
            "One paragraph: subject, motion and scene first, then the shot, the camera's movement, light, style and "
            "mood, each in plain words."
        ),
        source="github.com/Tencent-Hunyuan/HunyuanVideo-1.5, assets/HunyuanVideo_1_5_Prompt_Handbook_EN.md.",
    ),
    "ltx": PromptStyle(
        languages=("en",),
        words=200,
        manner=(
            "One flowing paragraph in the order of time: begin with the main action, then movements and gestures, "
            "looks, place, camera angle and movement, light and colours, sudden changes. Literal and precise."
        ),
        source="github.com/Lightricks/LTX-Video, README, on prompts.",
    ),
    "mochi": PromptStyle(
        languages=("en",),
        words=150,
        manner="One detailed, photographic paragraph: subject, action, place, light, lens and camera movement.",
        source="github.com/genmoai/mochi: T5-XXL reads 256 tokens; the length in words is ours.",
    ),
    "allegro": PromptStyle(
        languages=("en",),
        words=120,
        manner="One paragraph of literal description: subject, action, place, light, camera.",
        source="Ours; its text encoder is T5, which reads English.",
    ),
    "opensora": PromptStyle(
        languages=("en",),
        words=150,
        manner="One paragraph as a caption of a finished film: subject, action, place, light, camera.",
        source="github.com/hpcaitech/Open-Sora v1.2.0: T5-XXL reads 300 tokens; the length in words is ours.",
    ),
    "opensora-plan": PromptStyle(
        languages=("en",),
        words=150,
        manner="One paragraph as a caption of a finished film: subject, action, place, light, camera.",
        source="github.com/PKU-YuanGroup/Open-Sora-Plan: trained on English captions, 512 tokens; the words are ours.",
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
