"""Turn exceptions of other libraries into one-line errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitascope.errors import InvalidMedia, RunError, VitascopeError


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters; its class if it says nothing."""
    said = str(error).strip()
    if not any(letter.isalpha() for letter in said):  # such as a KeyError's bare number
        return f"{type(error).__name__} {said}".rstrip()
    return said.splitlines()[0][:300]


def out_of_memory(error: BaseException) -> bool:
    """Whether it is one of torch's ways of saying that memory ran out while something was loaded."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def misfits_explained(folder: Path, what: str) -> Iterator[None]:
    """Turn a library's complaint about weights that it cannot load as a `what` into InvalidMedia.

    Running out of memory passes through unchanged.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise InvalidMedia(
            f"{str(folder)!r} cannot be loaded as {what}: {first_line(error)}", param="model"
        ) from error


@contextmanager
def failures_explained(item: str) -> Iterator[None]:
    """Turn an exception of somebody else's library, raised in the block, into RunError that keeps its cause."""
    try:
        yield
    except VitascopeError:
        raise
    except Exception as error:
        raise RunError(f"{item} failed: {type(error).__name__}: {first_line(error)}", item=item) from error
