"""How the published models were told what to show.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0, opensora/sample/pipeline_opensora.py, MIT.
"""

from __future__ import annotations

# diffusers' cleaner drops common Chinese characters, upstream's keeps them; rarer ones pass through both.
COMMON_CHINESE = range(0x4E00, 0xA000)
RARE_CHINESE = 0x20000


def clean_prompt(prompt: str) -> str:
    """A prompt in lower case, without links, markup and odd punctuation, as 1.2's training captions were.

    Source: `_clean_caption` of pipeline_opensora.py, which is diffusers' but for the Chinese.
    """
    from diffusers.pipelines.allegro.pipeline_allegro import AllegroPipeline

    stand_ins = {code: RARE_CHINESE + code for code in COMMON_CHINESE}
    if any(ord(character) >= RARE_CHINESE for character in prompt):
        # Too rare to be told from a stand-in afterwards.
        stand_ins = {}
    cleaned = prompt.translate(stand_ins)
    for _ in range(2):  # the second pass can still change something
        cleaned = AllegroPipeline._clean_caption(AllegroPipeline, cleaned)  # type: ignore[arg-type]
    return cleaned.translate({stand_in: code for code, stand_in in stand_ins.items()})
