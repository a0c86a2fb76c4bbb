"""What the words of a placement come to, asked about GPUs that are not here."""

from __future__ import annotations

import pytest
import torch

from vitascope.engine import quantize
from vitascope.engine.levers import Gpu, Subject, decide
from vitascope.engine.placement import Placement
from vitascope.errors import DependencyMissing, OutOfMemory, RequestError, ResourceError

H100 = Gpu(name="H100", capability=(9, 0), memory_gib=80, fa3=True, int8=True)
A100 = Gpu(name="A100", capability=(8, 0), memory_gib=40, fa3=False)
MOCHI = Subject(
    transformer="MochiTransformer3DModel", vae="AutoencoderKLMochi", num_parameters=1e10, head_dim=128
)
TINY = Subject(transformer="CogVideoXTransformer3DModel", vae="AutoencoderKLCogVideoX", num_parameters=1e7)
OTHER = Subject(transformer="WanTransformer3DModel", vae="AutoencoderKLWan", num_parameters=1e10)
UNET = Subject(transformer="NoneType", vae="AutoencoderKL", num_parameters=0)


def placed(**fields):
    return Placement(**{"device": "cuda", "dtype": "bfloat16", **fields})


def test_exact_on_hopper():
    levers = decide(MOCHI, placed(), H100)
    assert (levers.attention, levers.compile, levers.linears, levers.vae) == ("fa3", True, "model", "stream")
    assert levers.skip is None and not levers.fallbacks


def test_without_fa3_hopper_takes_cudnn_and_older_cards_torchs_choice():
    assert decide(MOCHI, placed(), H100.model_copy(update={"fa3": False})).attention == "cudnn"
    assert decide(MOCHI, placed(), A100).attention == "sdpa"
    assert decide(MOCHI, placed(dtype="float32"), H100).attention == "sdpa"


def test_a_small_model_is_not_compiled():
    assert not decide(TINY, placed(), H100).compile
    assert decide(TINY, placed(compile=True), H100).compile


def test_layer_by_layer_offload_stays_eager():
    levers = decide(MOCHI, placed(offload="sequential", speed="balanced"), H100)
    assert (levers.compile, levers.linears) == (False, "model")
    assert "sequential" in " ".join(levers.fallbacks)


def test_nothing_changes_on_the_cpu():
    assert decide(MOCHI, placed(device="cpu", dtype="float32"), None).described() == {}


def test_balanced_and_turbo_on_hopper():
    balanced, turbo = (
        decide(MOCHI, placed(speed="balanced"), H100),
        decide(MOCHI, placed(speed="turbo"), H100),
    )
    assert balanced.linears == turbo.linears == "fp8"
    assert balanced.attention == turbo.attention == "int8"
    assert not balanced.fallbacks and not turbo.fallbacks
    assert balanced.skip is None and turbo.skip is not None


@pytest.mark.parametrize(
    ("subject", "gpu", "said"), [(MOCHI, None, "cpu"), (MOCHI, A100, "A100"), (OTHER, H100, "Wan")]
)
def test_balanced_says_what_it_cannot_have(subject, gpu, said):
    levers = decide(subject, placed(speed="balanced", device="cuda" if gpu else "cpu"), gpu)
    assert levers.linears == "model"
    assert said in " ".join(levers.fallbacks)


@pytest.mark.parametrize(
    ("subject", "gpu", "fields", "error", "said"),
    [
        (MOCHI, A100, {"quantize": "fp8"}, ResourceError, "8.9"),
        (MOCHI, None, {"attention": "fa3"}, ResourceError, "CUDA"),
        (MOCHI, A100, {"attention": "fa3"}, ResourceError, "Hopper"),
        (MOCHI, H100.model_copy(update={"fa3": False}), {"attention": "fa3"}, DependencyMissing, "fa3-fwd"),
        (MOCHI, A100, {"attention": "int8"}, ResourceError, "Hopper"),
        (MOCHI, H100.model_copy(update={"int8": False}), {"attention": "int8"}, ResourceError, "Triton"),
        (MOCHI, H100, {"attention": "int8", "dtype": "float16"}, ResourceError, "float16"),
        (MOCHI.model_copy(update={"head_dim": 96}), H100, {"attention": "int8"}, ResourceError, "96"),
        (OTHER, H100, {"attention": "sdpa"}, RequestError, "Wan"),
        (OTHER, H100, {"compile": True}, RequestError, "Wan"),
        (OTHER, H100, {"vae_streaming": True}, RequestError, "Wan"),
        (MOCHI, H100, {"compile": True, "offload": "sequential"}, RequestError, "sequential"),
        (MOCHI, H100, {"quantize": "fp8", "offload": "sequential"}, ResourceError, "sequential"),
        (UNET, H100, {"skip_interval": 2}, RequestError, "transformer"),
        (MOCHI, H100, {"vae_streaming": True, "vae_tiling": True}, RequestError, "not both"),
        (UNET, H100, {"cache": "first-block"}, RequestError, "a model without a transformer"),
        (UNET, H100, {"guidance_interval": (0, 0.5)}, RequestError, "a model without a transformer"),
        (MOCHI, H100, {"cache": "mag", "gpus": 2}, RequestError, "one GPU"),
    ],
)
def test_a_switch_without_effect_is_an_error(subject, gpu, fields, error, said):
    with pytest.raises(error, match=said):
        decide(subject, placed(**fields), gpu)


@pytest.mark.parametrize(
    ("subject", "gpu", "said"),
    [
        (MOCHI, H100.model_copy(update={"int8": False}), "Triton"),
        (TINY.model_copy(update={"head_dim": 128}), H100, "compiled"),
    ],
)
def test_balanced_keeps_the_exact_kernel_where_8_bits_cannot_be_had(subject, gpu, said):
    levers = decide(subject, placed(speed="balanced"), gpu)
    assert levers.attention == "fa3" and said in " ".join(levers.fallbacks)


def test_heads_of_64_channels_attend_exactly_unless_asked():
    cogvideox = MOCHI.model_copy(update={"transformer": "CogVideoXTransformer3DModel", "head_dim": 64})
    balanced = decide(cogvideox, placed(speed="balanced"), H100)
    assert (balanced.attention, balanced.linears, balanced.fallbacks) == ("fa3", "fp8", ())
    assert decide(cogvideox, placed(attention="int8"), H100).attention == "int8"


def test_around_a_ring_a_word_attends_exactly_and_a_switch_stays():
    balanced = decide(MOCHI, placed(speed="balanced"), H100)
    assert balanced.exact_in_a_ring("fa3", "auto").attention == "fa3"
    assert "ring" in balanced.exact_in_a_ring("fa3", "auto").fallbacks[0]
    assert balanced.exact_in_a_ring("fa3", "int8") == balanced


def test_a_kernel_that_does_not_work_here_gives_way_unless_it_was_asked_for():
    balanced = decide(MOCHI, placed(speed="balanced"), H100)
    assert balanced.with_proven_kernel(True, "fa3", "auto") == balanced
    instead = balanced.with_proven_kernel(False, "fa3", "auto")
    assert instead.attention == "fa3" and "Triton" in instead.fallbacks[0]
    with pytest.raises(ResourceError, match="does not work"):
        balanced.with_proven_kernel(False, "fa3", "int8")


@pytest.mark.parametrize(
    ("name", "capability", "attention", "linears"),
    [
        ("RTX 2080 Ti", (7, 5), "sdpa", "model"),
        ("RTX 3090", (8, 6), "sdpa", "model"),
        ("RTX 4090", (8, 9), "sdpa", "fp8"),
        ("RTX 5090", (12, 0), "cudnn", "fp8"),
    ],
)
def test_consumer_cards_get_what_they_can_and_are_told_the_rest(name, capability, attention, linears):
    card = Gpu(name=name, capability=capability, memory_gib=24, fa3=True, int8=False)
    exact = decide(MOCHI, placed(), card)
    assert (exact.attention, exact.compile, exact.vae, exact.fallbacks) == (attention, True, "stream", ())
    balanced = decide(MOCHI, placed(speed="balanced"), card)
    assert (balanced.attention, balanced.linears) == (attention, linears)
    said = " ".join(balanced.fallbacks)
    assert f"8-bit attention needs a Hopper GPU (H100, H200), not {name}" in said
    assert ("fp8 linears need" in said) == (linears == "model")


def test_fp8_linears_that_do_not_work_here_give_way_unless_they_were_asked_for():
    levers = decide(MOCHI, placed(speed="balanced"), H100)
    assert levers.with_proven_linears(True, "auto") is levers
    plain = levers.with_proven_linears(False, "auto")
    assert plain.linears == "model" and any("fp8 linears do not work" in said for said in plain.fallbacks)
    with pytest.raises(ResourceError, match="quantize='none'"):
        levers.with_proven_linears(False, "fp8")


def multiplied(a, b, scale_a, scale_b, out_dtype, use_fast_accum):
    del use_fast_accum
    return ((a.float() * scale_a) @ (b.float() * scale_b)).to(out_dtype)


def refused(*_, **__):
    raise RuntimeError("CUDA error: not supported on this device")


@pytest.mark.parametrize(
    ("product", "works"),
    [(multiplied, True), (refused, False), (lambda *a, **k: 0 * multiplied(*a, **k), False)],
)
def test_fp8_is_tried_before_it_is_trusted(product, works, monkeypatch):
    monkeypatch.setattr(torch, "_scaled_mm", product)
    quantize.fp8_works.cache_clear()
    assert quantize.fp8_works(torch.device("cpu")) is works
    quantize.fp8_works.cache_clear()


def test_expert_switches_override_the_word():
    levers = decide(MOCHI, placed(speed="turbo", skip_interval=1, quantize="none", attention="model"), H100)
    assert (levers.skip, levers.linears, levers.attention) == (None, "model", "model")


def test_sage_is_taken_where_it_is_and_never_replaced():
    here = H100.model_copy(update={"sage": None})
    levers = decide(MOCHI, placed(attention="sage"), here)
    assert levers.attention == "sage" and levers.approximate_attention
    assert levers.with_proven_kernel(False, "fa3", "sage") == levers, "that trial is of our own kernel"
    missing = H100.model_copy(update={"sage": "the package sageattention is not installed"})
    with pytest.raises(ResourceError, match="'sage': the package sageattention is not installed"):
        decide(MOCHI, placed(attention="sage"), missing)
    with pytest.raises(ResourceError, match="bfloat16 or float16, not float32"):
        decide(MOCHI, placed(attention="sage", dtype="float32"), here)
    with pytest.raises(ResourceError, match="needs a CUDA GPU"):
        decide(MOCHI, placed(attention="sage", device="cpu"), None)


def test_weights_in_few_bits_are_left_as_they_came():
    packed = MOCHI.model_copy(update={"quantized": True, "parts_gib": {"transformer": 9.0}})
    balanced = decide(packed, placed(speed="balanced"), H100)
    assert (balanced.linears, balanced.compile) == ("model", False)
    assert any("came in fewer bits already" in said for said in balanced.fallbacks)
    with pytest.raises(ResourceError, match="came in fewer bits already"):
        decide(packed, placed(quantize="fp8"), H100)
    assert decide(packed, placed(memory_gib=24), H100).offload == "placement"
    with pytest.raises(OutOfMemory, match="offload='model'"):
        decide(packed, placed(memory_gib=8), H100)


FULL = Subject(
    transformer="MochiTransformer3DModel",
    vae="AutoencoderKLMochi",
    num_parameters=1e10,
    head_dim=128,
    fp8_parameters=5.2 * 2**30,
    parts_gib={"vae": 0.9, "text_encoder": 8.9, "transformer": 18.7},
)


@pytest.mark.parametrize(
    ("speed", "memory", "offload"),
    [
        ("exact", 80, "placement"),
        ("exact", 24, "blocks"),
        ("balanced", 24, "turns"),
        ("balanced", 16, "blocks"),
    ],
)
def test_memory_never_breaks_the_promise_of_speed(speed, memory, offload):
    levers = decide(FULL, placed(speed=speed, memory_gib=memory), H100)
    assert levers.offload == offload
    assert levers.linears == ("model" if speed == "exact" else "fp8")


def test_too_little_memory_says_how_much_is_needed():
    with pytest.raises(OutOfMemory, match="it needs"):
        decide(FULL, placed(memory_gib=6), H100)
    with pytest.raises(OutOfMemory, match="offload='model'"):
        decide(OTHER.model_copy(update={"parts_gib": {"transformer": 30.0}}), placed(memory_gib=24), H100)


def test_adapters_need_weights_as_they_were():
    decide(MOCHI, placed(), H100).check_adapters()
    with pytest.raises(RequestError, match="quantize"):
        decide(MOCHI, placed(speed="balanced"), H100).check_adapters()
    with pytest.raises(RequestError, match="offload"):
        decide(FULL, placed(memory_gib=24), H100).check_adapters()
