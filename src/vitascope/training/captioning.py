"""Captions from a vision model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.atomic import write_bytes
from vitascope.clip import Pixels
from vitascope.context import Context
from vitascope.errors import InvalidMedia, ResourceError
from vitascope.language.chat import Endpoint, NoAnswer, ask
from vitascope.media import read
from vitascope.training.dataset import captions_of, media_files, with_trigger

INSTRUCTION = (
    "These are frames of one video clip, in order of time. Describe the clip for training a video generator: "
    "who or what is seen, how it looks, what moves and how, where it is, how the camera moves. "
    "Do not mention frames, images or this task. Write two plain sentences in {language}."
)
NUM_FRAMES = 4  # of a clip, spread evenly over it


def caption_folder(
    folder: Path,
    endpoint: Endpoint,
    context: Context,
    *,
    trigger: str = "",
    language: str = "English",
    timeout_s: float = 120.0,
    again: bool = False,
) -> dict[str, str]:
    """Write NAME.txt beside every clip without a caption (with `again`, beside every one); gives the new captions.

    A clip that cannot be read, or that the endpoint says nothing of, is warned of and left as it is.
    Raises: NotFound, RequestError, ResourceError if the first answer already fails, JobCancelled.
    """
    files = media_files(folder)
    said = {} if again else captions_of(folder, files)
    wanted = [path for path in files if path not in said]
    made: dict[str, str] = {}
    for number, path in enumerate(wanted):
        context.progress("caption", number, len(wanted))
        try:
            frames = _frames(path)
            text = ask(
                endpoint,
                [_message(frames, language)],
                context,
                timeout_s=timeout_s,
                max_tokens=400,
            )
        except (InvalidMedia, NoAnswer) as error:
            if isinstance(error, NoAnswer) and not made and number == 0:
                raise ResourceError(f"no captions from {endpoint.url}: {error}") from error
            context.warn(f"no caption for {path.name!r}: {error}")
            continue
        caption = with_trigger(" ".join(text.split()), trigger)
        write_bytes(path.with_suffix(".txt"), caption.encode())
        made[path.name] = caption
    context.progress("caption", len(wanted), len(wanted))
    return made


def _frames(path: Path) -> list[Pixels]:
    clip = read(path)
    places = np.linspace(0, clip.num_frames - 1, min(NUM_FRAMES, clip.num_frames)).round().astype(int)
    return [clip.frames[i : i + 1][0] for i in places]


def _message(frames: list[Pixels], language: str) -> dict[str, Any]:
    from PIL import Image

    content: list[dict[str, Any]] = [{"type": "text", "text": INSTRUCTION.format(language=language)}]
    for frame in frames:
        picture = Image.fromarray(frame)
        picture.thumbnail((512, 512))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=85)
        data = base64.b64encode(stream.getvalue()).decode()
        content.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}})
    return {"role": "user", "content": content}
