"""The parts of the fast machine room that need a CUDA GPU: kernels, fp8, compiled blocks, visits."""

from __future__ import annotations

import pytest
import torch

from tests.engine.test_attention import mochi, mochi_inputs
from tests.engine.test_streaming_vae import mochi_vae
from vitascope.engine import attention, attention_processors, offload, quantize, streaming_vae
from vitascope.engine.compile import compile_blocks

pytestmark = pytest.mark.gpu


def relative_error(output, expected):
    return ((output.float() - expected.float()).norm() / expected.float().norm()).item()


def qkv(length=1000, heads=3, width=128, outliers=False):
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(2, length, heads, width, device="cuda", dtype=torch.bfloat16) for _ in range(3)
    )
    if outliers:
        key[..., :4] += 20
        value += 0.25  # a larger one would be lost in the rounding of a bf16 output
    return query, key, value


def hopper():
    return torch.cuda.get_device_capability() == (9, 0)


@torch.no_grad()
@pytest.mark.parametrize("kernel", ["fa3", "cudnn"])
@pytest.mark.parametrize("width", [64, 128])
def test_exact_kernels_agree_and_lengths_cut(kernel, width):
    if kernel == "fa3" and not (hopper() and attention.has_fa3()):
        pytest.skip("no Hopper GPU with fa3-fwd")
    query, key, value = qkv(width=width)
    lengths = torch.tensor([1000, 700])
    expected = attention.attend(query.float(), key.float(), value.float(), "sdpa", lengths)
    output = attention.attend(query, key, value, kernel, lengths)
    assert relative_error(output, expected) < 5e-3
    assert not output[1, 700:].any()


@torch.no_grad()
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("length", [128, 1000, 1024])
def test_int8_attention_stands_outlier_keys_and_odd_lengths(width, length):
    if not hopper():
        pytest.skip("no Hopper GPU")
    for outliers in (False, True):
        query, key, value = qkv(length, width=width, outliers=outliers)
        expected = attention.attend(query.float(), key.float(), value.float(), "sdpa")
        output = attention.attend(query, key, value, "int8")
        centre = expected.mean(dim=1, keepdim=True)  # without it, the common value would hide the error
        assert ((output - expected).norm() / (expected - centre).norm()).item() < 0.08


@torch.no_grad()
def test_fp8_linear_under_compile():
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("no fp8 units")
    torch.manual_seed(0)
    linear = torch.nn.Linear(512, 256, device="cuda", dtype=torch.bfloat16)
    states = torch.randn(2, 100, 512, device="cuda", dtype=torch.bfloat16)
    fp8 = quantize.Fp8Linear(linear)
    assert relative_error(fp8(states), linear(states)) < 0.05
    assert relative_error(torch.compile(fp8)(states), linear(states)) < 0.05


@torch.no_grad()
def test_compiled_blocks_equal_diffusers():
    plain, fast = mochi().cuda(), mochi().cuda()
    attention_processors.install(fast, attention.joined("sdpa"))
    compile_blocks(fast.transformer_blocks)
    for lengths in [(5, 1), (0, 8)]:
        inputs = {name: tensor.cuda() for name, tensor in mochi_inputs(lengths).items()}
        assert relative_error(fast(**inputs).sample, plain(**inputs).sample) < 1e-4


@torch.no_grad()
def test_compiled_stream_equals_one_shot():
    vae = mochi_vae().cuda()
    latents = torch.randn(1, 12, 4, 3, 4, device="cuda")
    expected = vae.decode(latents).sample
    streamed = torch.cat(list(streaming_vae.decode(vae, latents, compiled=True)), dim=2)
    assert relative_error(streamed, expected) < 2e-3  # tf32 in the convolutions


@torch.inference_mode()
def test_streamed_blocks_give_the_same_result_under_compile():
    model = mochi().cuda().requires_grad_(False)
    inputs = {name: tensor.cuda() for name, tensor in mochi_inputs((5, 1)).items()}
    expected = model(**inputs).sample
    with torch.inference_mode(False):
        visiting = mochi().requires_grad_(False)
        attention_processors.install(visiting, attention.joined("sdpa"))
        compile_blocks(visiting.transformer_blocks)
        offload.take_turns({"transformer": visiting}, "cuda", list(visiting.transformer_blocks))
    for _ in range(3):
        assert relative_error(visiting(**inputs).sample, expected) < 1e-4
