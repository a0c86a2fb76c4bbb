"""Cache prompt embeddings on disk, so that a known prompt needs no text encoder in memory."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.atomic import ready_folder, replacing
from vitascope.engine import weights
from vitascope.engine.pipelines import environment
from vitascope.engine.placement import Placement
from vitascope.engine.text_encoders import LazyTextEncoder
from vitascope.errors import VitascopeError
from vitascope.settings import Settings

logger = logging.getLogger(__name__)

MAX_BYTES = 4 * 2**30  # of all embeddings together; those not read for longest go first
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
WHERE = {"device"}  # arguments that decide where the result is, not what it is


class _NoKey(Exception):
    """The call has an argument whose content cannot be told: it is not cached."""


@contextmanager
def remembered(pipeline: Any, placement: Placement) -> Iterator[None]:
    """`pipeline.encode_prompt` answered from disk while the block runs, where it was called alike before.

    Alike is by content: the words and other arguments, the encoder's and the tokenizer's files, the precision
    and kind of device, the versions of the libraries.
    """
    encoders = [getattr(pipeline, name, None) for name in ENCODERS]
    lazy = [encoder for encoder in encoders if isinstance(encoder, LazyTextEncoder)]
    known = [encoder for encoder in encoders if encoder is not None]
    if not placement.prompt_cache or not lazy or len(lazy) != len(known):
        yield
        return
    original = pipeline.encode_prompt
    identity = _identity(pipeline, lazy, placement)

    @functools.wraps(original)
    def encode_prompt(*args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(original).bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            key = hashlib.sha256(f"{identity}{_content(bound.arguments)}".encode()).hexdigest()
        except _NoKey:
            return original(*args, **kwargs)
        device = bound.arguments.get("device") or pipeline._execution_device
        kept = _load(key, device)
        if kept is None:
            kept = original(*args, **kwargs)
            _save(key, kept)
        return kept

    pipeline.encode_prompt = encode_prompt
    try:
        yield
    finally:
        del pipeline.encode_prompt


def folder() -> Path:
    """Where embeddings are kept."""
    return Settings.from_environment().home / "prompts"


def _identity(pipeline: Any, encoders: Sequence[LazyTextEncoder], placement: Placement) -> str:
    device = placement.text_encoder_device or placement.device
    said = {
        "pipeline": type(pipeline).__qualname__,
        "settings": {
            key: str(value) for key, value in dict(pipeline.config).items() if not key.startswith("_")
        },
        "encoders": [weights.fingerprint(encoder.folder) for encoder in encoders],
        "tokenizers": [_vocabulary(getattr(pipeline, f"tokenizer{end}", None)) for end in ("", "_2", "_3")],
        "precision": placement.text_encoder_precision,
        "environment": {**environment(placement), "device": torch.device(device).type},
    }
    return json.dumps(said, sort_keys=True)


def _vocabulary(tokenizer: Any) -> str:
    if tokenizer is None:
        return ""
    words = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=False)
    template = str(getattr(tokenizer, "chat_template", None))
    return hashlib.sha256(f"{words}{template}".encode()).hexdigest()


def _content(value: Any) -> str:
    """What an argument says, however it is held in memory. Raises: _NoKey."""
    if value is None or isinstance(value, str | int | float | bool | torch.dtype):
        return repr(value)
    if isinstance(value, dict):
        return repr([(key, _content(item)) for key, item in sorted(value.items()) if key not in WHERE])
    if isinstance(value, list | tuple):
        return repr([_content(item) for item in value])
    if isinstance(value, Tensor):
        value = value.detach().float().cpu().numpy()
    try:
        pixels = np.ascontiguousarray(value)
    except Exception as error:
        raise _NoKey from error
    if pixels.dtype == object:
        raise _NoKey
    return f"{pixels.shape}{pixels.dtype}{hashlib.sha256(pixels.tobytes()).hexdigest()}"


def _load(key: str, device: Any) -> tuple[Tensor | None, ...] | None:
    from safetensors import SafetensorError, safe_open

    path = folder() / f"{key}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            length = int(file.metadata()["length"])
            tensors = {int(name): file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError):  # not there, or damaged: read anew
        return None
    with suppress(OSError):
        path.touch()
    return tuple(tensors.get(index) for index in range(length))


def _save(key: str, made: Any) -> None:
    from safetensors.torch import save_file

    if not isinstance(made, tuple | list) or not all(isinstance(part, Tensor | None) for part in made):
        return
    tensors = {
        str(index): part.detach().cpu().contiguous() for index, part in enumerate(made) if part is not None
    }
    try:
        with replacing(ready_folder(folder()) / f"{key}.safetensors") as unfinished:
            save_file(tensors, unfinished, metadata={"length": str(len(made))})
    except VitascopeError as error:
        logger.warning("the prompt was not kept: %s", error)
    with suppress(OSError):  # another process may remove a file meanwhile
        _make_room()


def _make_room() -> None:
    files = sorted(folder().glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > MAX_BYTES:
            file.unlink(missing_ok=True)
