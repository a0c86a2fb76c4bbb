"""The parts of the fast machine room that need a CUDA GPU: kernels, fp8, compiled blocks, visits."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace

import diffusers
import pytest
import torch

from tests.engine.test_attention import OTHERS, mochi, mochi_inputs
from tests.engine.test_streaming_vae import hunyuan15_vae, hunyuan_vae, mochi_vae, other_norms, wan_vae
from vitascope.engine import attention, attention_processors, levers, memory, offload, quantize, streaming_vae
from vitascope.engine.compile import compile_blocks, keep_compiled_in
from vitascope.engine.denoisers import blocks_of
from vitascope.engine.placement import Placement
from vitascope.engine.subject import Gpu, Subject
from vitascope.evaluation.speed.step_inputs import draw

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
@pytest.mark.parametrize("length", [1, 128, 129, 1000, 3000])
def test_int8_attention_stands_outlier_keys_and_any_length(width, length):
    if not hopper():
        pytest.skip("no Hopper GPU")
    for outliers, bound in ((False, 0.045), (True, 0.03)):
        query, key, value = qkv(length, width=width, outliers=outliers)
        expected = attention.attend(query.float(), key.float(), value.float(), "sdpa")
        output = attention.attend(query, key, value, "int8")
        assert relative_error(output, expected) < bound


@torch.no_grad()
def test_int8_attention_writes_between_gaps_and_gives_way_where_it_must_be_exact():
    if not hopper():
        pytest.skip("no Hopper GPU")
    query, key, value = qkv()
    lengths = torch.tensor([1000, 700])
    expected = attention.attend(query.float(), key.float(), value.float(), "sdpa", lengths)
    rough = attention.attend(query, key, value, "int8", lengths)
    assert 5e-3 < relative_error(rough, expected) < 0.045 and not rough[1, 700:].any()
    with attention.exactly():
        assert relative_error(attention.attend(query, key, value, "int8", lengths), expected) < 5e-3


def test_int8_attention_is_found_to_work_and_not_when_it_gives_something_else(monkeypatch):
    if not hopper():
        pytest.skip("no Hopper GPU")
    device = torch.device("cuda")
    attention.works.cache_clear()
    assert attention.works("int8", device)
    attention.works.cache_clear()
    monkeypatch.setitem(attention.KERNELS, "int8", lambda query, key, value, out: out.zero_())
    assert not attention.works("int8", device)
    attention.works.cache_clear()


@torch.no_grad()
@pytest.mark.parametrize(("kind", "sageattention2"), [("flat", 0.0376), ("peaky", 0.0034)])
def test_int8_attention_errs_no_more_than_sageattention2(kind, sageattention2):
    """Its errors are those of its version 2.2.0 on such inputs in `benchmarks/attention_kernels.py`."""
    if not hopper():
        pytest.skip("no Hopper GPU")
    torch.manual_seed(0)
    length = 44_648  # Mochi's, 848x480, 163 frames
    query, key, value, *centres = (
        torch.randn(1, length, 2, 128, device="cuda", dtype=torch.bfloat16) for _ in range(5)
    )
    if kind == "peaky":
        cluster, values = (centre[:, :64].repeat_interleave(698, 1)[:, :length] for centre in centres)
        query, key, value = (query * 0.5 + cluster) * 1.5, key * 0.5 + cluster, value * 0.5 + values
        key[..., :4] += 20
    rows = torch.linspace(0, length - 1, 256, device="cuda").long()
    expected = attention.attend(query[:, rows].float(), key.float(), value.float(), "sdpa")
    output = attention.attend(query, key, value, "int8")
    assert relative_error(output[:, rows], expected) < sageattention2


@torch.no_grad()
def test_int8_attention_keeps_small_values_in_long_sums():
    if not hopper():
        pytest.skip("no Hopper GPU")
    torch.manual_seed(0)
    length = 40_000
    query, key = (torch.randn(1, length, 1, 128, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    value = torch.randn(1, length, 1, 128, device="cuda", dtype=torch.bfloat16) + torch.linspace(
        -1, 1, length, device="cuda", dtype=torch.bfloat16
    ).view(1, -1, 1, 1)
    key[..., 0] += torch.linspace(-3, 3, length, device="cuda", dtype=torch.bfloat16).view(1, -1, 1)
    query[..., 0] = 8.0  # looks at the late tokens
    expected = attention.attend(query.float()[:, :64], key.float(), value.float(), "sdpa")
    output = attention.attend(query[:, :64].contiguous(), key, value, "int8")
    assert relative_error(output, expected) < 0.004


def test_a_memory_limit_is_held():
    total = torch.cuda.get_device_properties(0).total_memory / 2**30
    memory.cap(Placement(device="cuda", memory_gib=total / 4))
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(total / 3 * 2**30), dtype=torch.uint8, device="cuda")
    finally:
        memory.uncap(Placement(device="cuda"))
    torch.empty(int(total / 3 * 2**30), dtype=torch.uint8, device="cuda")


def test_fp8_linears_are_found_to_work():
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("no fp8 units")
    quantize.fp8_works.cache_clear()
    assert quantize.fp8_works(torch.device("cuda"))


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
@pytest.mark.parametrize(
    ("build", "channels"), [(mochi_vae, 12), (hunyuan_vae, 4), (hunyuan15_vae, 4), (wan_vae, 4)]
)
def test_compiled_stream_equals_diffusers(build, channels):
    keep_compiled_in(Path(tempfile.gettempdir()) / "vitascope-compiled-tests")
    vae = other_norms(build()).cuda()
    latents = torch.randn(1, channels, 6, 3, 4, device="cuda")
    expected = vae.decode(latents).sample
    streamed = torch.cat(list(streaming_vae.decode(vae, latents, compiled=True)), dim=2)
    assert relative_error(streamed, expected) < 2e-3  # tf32 in the convolutions


@torch.no_grad()
@pytest.mark.parametrize("name", OTHERS)
def test_other_families_compiled_equal_diffusers(name):
    keep_compiled_in(Path(tempfile.gettempdir()) / "vitascope-compiled-tests")
    model, inputs = OTHERS[name][0]()
    model.cuda()
    inputs = {
        key: value.cuda() if isinstance(value, torch.Tensor) else value for key, value in inputs.items()
    }
    expected = model(**inputs).sample
    attention_processors.install(model, attention.joined("sdpa"))
    compile_blocks(blocks_of(model))
    assert relative_error(model(**inputs).sample, expected) < 1e-4


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


# Wide enough for the 8-bit kernel and fp8, deep enough to have blocks that are not kept exact.
WAN = {"num_attention_heads": 2, "attention_head_dim": 128, "text_dim": 64, "freq_dim": 64, "ffn_dim": 512}
HUNYUAN = {"num_attention_heads": 2, "attention_head_dim": 128, "num_refiner_layers": 1, "text_embed_dim": 64}
SMALL = {
    "WanTransformer3DModel": {**WAN, "num_layers": 4},
    "SkyReelsV2Transformer3DModel": {**WAN, "num_layers": 4},
    "HunyuanVideoTransformer3DModel": {**HUNYUAN, "num_layers": 3, "num_single_layers": 3, "guidance_embeds": True},
    "HunyuanVideo15Transformer3DModel": {
        **HUNYUAN, "num_layers": 4, "in_channels": 33, "text_embed_2_dim": 64, "image_embed_dim": 64,
        "target_size": 640, "task_type": "t2v",
    },
    "LTXVideoTransformer3DModel": {
        "num_attention_heads": 4, "attention_head_dim": 64, "num_layers": 4, "cross_attention_dim": 256,
        "caption_channels": 64, "in_channels": 16, "out_channels": 16,
    },
}  # fmt: skip


def pulled(name, device="cuda", **placed):
    """A small model as this placement has it, the levers, and the relative error of what it says."""
    torch.manual_seed(0)
    with torch.device(device):
        model = getattr(diffusers, name)(**SMALL[name]).to(torch.bfloat16).eval().requires_grad_(False)
    inputs = draw(model, (16, 5, 16, 24), 96, 64, device).arguments
    expected = model(**inputs, return_dict=False)[0]
    pipeline = SimpleNamespace(transformer=model, vae=None, components={"transformer": model})
    placement = Placement(device=device, dtype="bfloat16", **placed)
    chosen = levers.decide(Subject.of(pipeline), placement, Gpu.here(device))
    levers.shrink(pipeline, chosen, device)
    levers.pull(pipeline, chosen, device)
    found = [model(**inputs, return_dict=False)[0] for _ in range(2)]
    assert relative_error(found[1], found[0]) < 1e-3
    return chosen, relative_error(found[0], expected)


@torch.inference_mode()
@pytest.mark.parametrize("speed", ["exact", "balanced"])
@pytest.mark.parametrize("name", SMALL)
def test_the_words_keep_their_bounds_on_every_family(name, speed):
    if not hopper():
        pytest.skip("no Hopper GPU")
    chosen, error = pulled(name, speed=speed, compile=True)
    assert chosen.linears == ("fp8" if speed == "balanced" else "model")
    assert not chosen.fallbacks
    assert error < (0.05 if speed == "balanced" else 0.01)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("capability", "kernel", "linears"),
    [((8, 0), "sdpa", "model"), ((8, 6), "sdpa", "model"), ((8, 9), "sdpa", "fp8"), ((12, 0), "sdpa", "fp8")],
)
def test_what_a_card_that_is_no_hopper_falls_back_on_runs(capability, kernel, linears, monkeypatch):
    monkeypatch.setattr(attention, "cuda_capability", lambda _device: capability)
    chosen, error = pulled("WanTransformer3DModel", speed="turbo", compile=True)
    assert (chosen.attention, chosen.linears, chosen.compile) == (kernel, linears, True)
    assert "8-bit attention needs a Hopper GPU" in chosen.fallbacks[0]
    assert error < (0.05 if linears == "fp8" else 0.01)
