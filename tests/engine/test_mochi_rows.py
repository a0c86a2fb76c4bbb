"""Mochi's queries and keys in one pass: the kernel against the formula, and what is around it against diffusers."""

from __future__ import annotations

import pytest
import torch

from tests.engine.test_attention import mochi, mochi_inputs
from vitascope.engine import attention, attention_processors, mochi_rows
from vitascope.engine.compile import compile_blocks

EPS = 1e-5


def in_words(video, text, weights, eps, freqs):
    """What the kernel computes, in float32."""
    cos, sin = freqs
    rows = []
    for states, beside, weight in zip(video, text, weights, strict=True):
        normed = torch.nn.functional.rms_norm(states.float(), states.shape[-1:], weight.float(), eps)
        even, odd = normed[..., 0::2], normed[..., 1::2]
        turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
        rows.append(torch.cat([turned, beside.float()], dim=1).to(states.dtype))
    return rows[0], rows[1]


def states(batch, num_video, num_text, heads, width, device, dtype):
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, device=device)

    video = [draw(batch, num_video, heads, width).to(dtype) for _ in range(2)]
    text = [draw(batch, num_text, heads, width).to(dtype) for _ in range(2)]
    angles = draw(num_video, heads, width // 2)
    weights = [draw(width).to(dtype) for _ in range(2)]
    return tuple(video), tuple(text), tuple(weights), EPS, (angles.cos(), angles.sin())


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(5, 1), (8, 8), (0, 3)])
def test_tokens_in_one_row_give_what_diffusers_gives(lengths, monkeypatch):
    model, inputs = mochi(), mochi_inputs(lengths)
    for block in model.transformer_blocks:
        torch.nn.init.normal_(block.attn1.norm_q.weight)
        torch.nn.init.normal_(block.attn1.norm_k.weight)
    expected = model(**inputs).sample
    asked = []

    def joined(*given):
        asked.append(given)
        return in_words(*given)

    monkeypatch.setattr(mochi_rows, "can_join", lambda _states: True)
    monkeypatch.setattr(mochi_rows, "normed_rotated_joined", joined)
    attention_processors.install(model, attention.joined("sdpa"))
    torch.testing.assert_close(model(**inputs).sample, expected, atol=2e-6, rtol=1e-5)
    assert len(asked) == len(model.transformer_blocks)


def test_a_cpu_and_full_precision_keep_the_plain_way():
    assert not mochi_rows.can_join(torch.zeros(1, 1, 1, 128, dtype=torch.bfloat16))
    assert not mochi_rows.can_join(torch.zeros(1, 1, 1, 128))


@pytest.mark.gpu
@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("batch", "num_video", "num_text", "heads", "width"),
    [(2, 1001, 256, 3, 128), (1, 7, 0, 1, 64), (3, 130, 5, 24, 128), (2, 33, 4, 2, 16)],
)
def test_the_kernel_norms_turns_and_joins(batch, num_video, num_text, heads, width, dtype):
    given = states(batch, num_video, num_text, heads, width, "cuda", dtype)
    for row, expected, text in zip(
        mochi_rows.normed_rotated_joined(*given), in_words(*given), given[1], strict=True
    ):
        assert row.shape == expected.shape
        error = (row.float() - expected.float()).norm() / expected.float().norm()
        assert error < 2e-3  # of the last bit: one is summed in another order
        assert torch.equal(row[:, num_video:], text)


@pytest.mark.gpu
def test_the_operator_tells_a_compiler_what_it_returns():
    given = states(2, 33, 4, 2, 16, "cuda", torch.bfloat16)
    flat = (*given[0], *given[1], *given[2], given[3], *given[4])
    torch.library.opcheck(torch.ops.vitascope.mochi_rows.default, flat)


@pytest.mark.gpu
@torch.no_grad()
def test_compiled_blocks_take_it_and_equal_diffusers():
    plain, fast = mochi().cuda().bfloat16(), mochi().cuda().bfloat16()
    attention_processors.install(fast, attention.joined("sdpa"))
    compile_blocks(fast.transformer_blocks)
    for lengths in [(5, 1), (0, 8)]:
        inputs = {name: tensor.cuda() for name, tensor in mochi_inputs(lengths).items()}
        inputs |= {name: inputs[name].bfloat16() for name in ("hidden_states", "encoder_hidden_states")}
        expected = plain(**inputs).sample.float()
        assert (fast(**inputs).sample.float() - expected).norm() < 2e-2 * expected.norm()
