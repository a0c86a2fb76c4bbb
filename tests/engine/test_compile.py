"""Compiled functions go on past the number of shapes that torch keeps graphs for; compilers are looked for."""

import os
import subprocess
import sys

import pytest
import torch

from tests.engine.test_levers import H100, MOCHI, placed
from vitascope.engine.compile import compile_blocks, compiled, compiler_for, keep_compiled_in
from vitascope.engine.levers import decide
from vitascope.errors import ResourceError


@pytest.fixture
def few_graphs():
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=True):
        yield
    torch._dynamo.reset()


def test_a_size_more_than_there_are_graphs_is_compiled_too(few_graphs):
    graphs = []

    def keep(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    blocks = [torch.nn.Linear(4, 4) for _ in range(3)]
    plain = [block.forward for block in blocks]
    compile_blocks(blocks, backend=keep)
    for num_tokens in (1, 2, 3, 4, 5):
        states = torch.randn(num_tokens, 4)
        for block, forward in zip(blocks, plain, strict=True):
            assert torch.equal(block(states), forward(states))
    assert len(graphs) == 5, "one for each size: blocks of one class share them"


def test_what_fails_in_a_compiled_function_is_told(few_graphs):
    def fail(states):
        raise ValueError("no such token")

    with pytest.raises(ValueError, match="no such token"):
        compiled(fail, backend="eager")(torch.zeros(1))


def test_without_a_c_compiler_nothing_is_compiled_and_that_is_said():
    bare = H100.model_copy(update={"c_compiler": False})
    levers = decide(MOCHI, placed(), bare)
    assert not levers.compile and levers.fallbacks == ("compiled blocks need a C compiler such as gcc",)
    with pytest.raises(ResourceError, match="C compiler such as gcc"):
        decide(MOCHI, placed(compile=True), bare)


@pytest.mark.parametrize(
    ("named", "found"), [("no-such-compiler -O2", False), (f"{sys.executable} -O2", True)]
)
def test_a_compiler_that_is_named_is_the_one_that_is_looked_for(monkeypatch, named, found):
    for name, device in (("CC", "cuda"), ("CXX", "cpu")):
        monkeypatch.setenv(name, named)
        assert (compiler_for(device) is not None) is found


@pytest.mark.parametrize("named", [None, "inductor's own", "the user's"])
def test_what_was_compiled_is_kept_unless_the_user_names_a_folder(monkeypatch, tmp_path, named):
    from torch._inductor.runtime.runtime_utils import cache_dir, default_cache_dir

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "user"))  # is put back after the test
    if named is None:
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    elif named == "inductor's own":
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())
    keep_compiled_in(tmp_path / "home" / "compiled")
    assert cache_dir() == str(tmp_path / ("user" if named == "the user's" else "home/compiled"))


SECOND_START = """
import sys, torch, diffusers
from pathlib import Path
from torch._inductor.runtime.cache_dir_utils import cache_dir
from vitascope.engine.compile import compile_blocks, graphs_so_far, keep_compiled_in
cache_dir()
block = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.SiLU())
keep_compiled_in(Path(sys.argv[1]))
compile_blocks([block])
with torch.inference_mode():
    block(torch.ones(2, 4))
print(*graphs_so_far())
"""


@pytest.mark.slow
@pytest.mark.skipif(compiler_for("cpu") is None, reason="needs a C++ compiler")
def test_the_second_process_takes_the_graphs_of_the_first(tmp_path):
    unset = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    command = [sys.executable, "-c", SECOND_START, str(tmp_path)]
    for expected in (["1", "0"], ["0", "1"]):
        done = subprocess.run(command, env=unset, capture_output=True, text=True, check=True)
        assert done.stdout.split() == expected, "graphs made, graphs taken"
