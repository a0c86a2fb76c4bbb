"""Regional compilation: the repeated blocks of a transformer, each shape once, kept on disk for the next start."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch

from vitascope.atomic import ready_folder
from vitascope.errors import VitascopeError

T = TypeVar("T")

# Graphs of one function that a process keeps; a block has one or two for each size, a VAE's layer several.
MAX_SHAPES = 64


def compiler_for(device: str) -> str | None:
    """The compiler that inductor needs for code on `device`: of C++ for a CPU, of C for what starts Triton's kernels.

    None where none is found.
    """
    named, usual = ("CXX", ("g++", "clang++")) if device == "cpu" else ("CC", ("gcc", "clang"))
    names = os.environ.get(named, "").split()[:1] or usual  # its flags may stand behind it
    return next(filter(None, map(shutil.which, names)), None)


def keep_compiled_in(folder: Path) -> None:
    """Let inductor keep what it compiles in `folder`, so that the next process starts warm.

    A folder that the user named in TORCHINDUCTOR_CACHE_DIR goes first; where `folder` cannot be written, torch's
    own is taken.
    """
    from torch._inductor.runtime.runtime_utils import default_cache_dir

    # Inductor writes its own choice, in the folder for temporary files, into the environment as it is imported.
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR") in (None, default_cache_dir()):
        with suppress(VitascopeError):
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(ready_folder(folder))
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MAX_SHAPES)
    torch._dynamo.config.fail_on_recompile_limit_hit = True


def compiled(function: Callable[..., T], backend: str = "inductor") -> Callable[..., T]:
    """`function` as one graph for each shape.

    Past `MAX_SHAPES` torch would run it uncompiled, or fail: all graphs are let go then, and those that are needed
    again come from disk.
    """
    from torch._dynamo.exc import FailOnRecompileLimitHit

    graphs = torch.compile(function, dynamic=False, backend=backend)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> T:
        try:
            return graphs(*args, **kwargs)
        except FailOnRecompileLimitHit:
            torch._dynamo.reset()
            return graphs(*args, **kwargs)

    return run


def compiled_if(wanted: bool, function: Callable[..., T]) -> Callable[..., T]:
    """`function`, as `compiled` where that is wanted."""
    return compiled(function) if wanted else function


def compile_blocks(blocks: Iterable[Any], backend: str = "inductor") -> None:
    """Compile the forward of each block, static shapes.

    Blocks of one class share their graphs. A graph is made for each width, height, number of frames and batch
    size; text is padded to the model's length, so a new prompt needs no new one. Hooks of a block (offloading,
    caches) stay outside and keep working.
    """
    for block in blocks:
        if "_uncompiled_forward" not in vars(block):
            block._uncompiled_forward = block.forward
            block.forward = compiled(block.forward, backend)


def graphs_so_far() -> tuple[int, int]:
    """How many graphs this process has compiled, and how many it took from those that were kept."""
    said = torch._dynamo.utils.counters["inductor"]
    return said["fxgraph_cache_miss"], said["fxgraph_cache_hit"]
