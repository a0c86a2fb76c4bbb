"""How Open-Sora 1.2 words a prompt before the text encoder reads it.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/utils/inference_utils.py, Apache-2.0.
Upstream's cleaning of captions is that of DeepFloyd IF; it is taken from diffusers here.
"""

from __future__ import annotations

import logging
import re

from vitascope.errors import RequestError

logger = logging.getLogger(__name__)


def append_scores(
    prompt: str,
    aesthetic_score: float | None = 6.5,
    motion_score: float | None = None,
    camera_motion: str | None = None,
) -> str:
    """Say behind the prompt how pretty, how lively and how filmed the video shall be.

    The captions that the model was trained on ended so.

    A score that the prompt states already is left as it is.
    """
    said = prompt
    if aesthetic_score is not None and "aesthetic score:" not in prompt:
        said += f" aesthetic score: {aesthetic_score:.1f}."
    if motion_score is not None and "motion score:" not in prompt:
        said += f" motion score: {motion_score:.1f}."
    if camera_motion is not None and "camera motion:" not in prompt:
        said += f" camera motion: {camera_motion}."
    return said


def word_prompt(
    prompt: str,
    aesthetic_score: float | None = 6.5,
    motion_score: float | None = None,
    camera_motion: str | None = None,
) -> str:
    """Bring a prompt into the form of the training captions: scores behind it, then cleaned.

    Raises: RequestError if nothing is left of it.
    """
    if prompt.strip() and not clean_caption(prompt):
        raise RequestError(
            f"nothing is left of the prompt {prompt[:80]!r}, as Open-Sora 1.2 reads English only; "
            "translate it, or let the step expand-prompt do it",
            param="prompt",
        )
    if holds_chinese(prompt):
        logger.info("Open-Sora 1.2 reads English only; left out all Chinese of %r", prompt[:80])
    return clean_caption(append_scores(prompt, aesthetic_score, motion_score, camera_motion))


def holds_chinese(prompt: str) -> bool:
    """Whether cleaning will take Chinese out of a prompt, which Open-Sora 1.2 does not read."""
    return re.search(r"[\u3400-\u9fff]", prompt) is not None


def clean_caption(caption: str) -> str:
    """Lower the case and drop links, markup, odd characters and all Chinese."""
    from diffusers.pipelines.pixart_alpha.pipeline_pixart_sigma import PixArtSigmaPipeline

    for _ in range(2):  # Upstream cleans twice, and the second pass can still change something.
        caption = PixArtSigmaPipeline._clean_caption(PixArtSigmaPipeline, caption)  # type: ignore[arg-type]
    return caption


def prompt_of_loop(prompt: str, loop: int) -> str:
    """What "|0|a day|2|a night" says for a loop: a text holds until the next number, a plain prompt always.

    Raises: RequestError.
    """
    if not prompt.startswith("|0|"):
        return prompt
    parts = prompt.split("|")[1:]
    numbers, texts = parts[0::2], parts[1::2]
    if len(numbers) != len(texts) or not all(number.strip().isdigit() for number in numbers):
        raise RequestError(f"prompt {prompt[:80]!r} is not like |0|text|1|text", param="prompt")
    starts = [int(number) for number in numbers]
    if starts != sorted(set(starts)):
        raise RequestError(f"prompt {prompt[:80]!r}: its numbers must rise", param="prompt")
    return next(text.strip() for start, text in zip(starts[::-1], texts[::-1], strict=True) if start <= loop)
