"""What the words of a placement come to, asked about GPUs that are not here."""

from __future__ import annotations

import pytest
import torch

from vitascope.engine import attention, quantize
from vitascope.engine.levers import decide, decide_without_sage
from vitascope.engine.pipelines import levers_for
from vitascope.engine.placement import Placement
from vitascope.engine.subject import Gpu, Subject
from vitascope.errors import DependencyMissing, OutOfMemory, RequestError, ResourceError

H100 = Gpu(name="H100", capability=(9, 0), memory_gib=80, fa3=True, int8=True)
A100 = Gpu(name="A100", capability=(8, 0), memory_gib=40, fa3=False)
MOCHI = Subject(
    transformer="MochiTransformer3DModel", vae="AutoencoderKLMochi", num_parameters=1e10, head_dim=128
)
FAMILIES = {
    "wan": ("WanTransformer3DModel", "AutoencoderKLWan", 128),
    "hunyuan": ("HunyuanVideoTransformer3DModel", "AutoencoderKLHunyuanVideo", 128),
    "ltx": ("LTXVideoTransformer3DModel", "AutoencoderKLLTXVideo", 64),
}
CONSUMER = {
    "RTX 4090": Gpu(name="RTX 4090", capability=(8, 9), memory_gib=24, fa3=False),
    "RTX 3090": Gpu(name="RTX 3090", capability=(8, 6), memory_gib=24, fa3=False),
    "RTX 2080 Ti": Gpu(name="RTX 2080 Ti", capability=(7, 5), memory_gib=11, fa3=False),
    "RTX 5090": Gpu(name="RTX 5090", capability=(12, 0), memory_gib=32, fa3=False),
    "Radeon RX 7900 XTX": Gpu(
        name="Radeon RX 7900 XTX", capability=(0, 0), memory_gib=24, fa3=False, amd=True
    ),
}
TINY = Subject(transformer="CogVideoXTransformer3DModel", vae="AutoencoderKLCogVideoX", num_parameters=1e7)
ODD_HEADS = MOCHI.model_copy(update={"head_dim": 12})
OTHER = Subject(transformer="AllegroTransformer3DModel", vae="AutoencoderKLAllegro", num_parameters=1e10)
UNET = Subject(transformer="NoneType", vae="AutoencoderKL", num_parameters=0)


def placed(**fields):
    return Placement(**{"device": "cuda", "dtype": "bfloat16", **fields})


def test_exact_on_hopper():
    levers = decide(MOCHI, placed(), H100)
    assert (levers.attention, levers.compile, levers.linears, levers.vae) == ("fa3", True, "model", "stream")
    assert levers.skip is None and not levers.fallbacks


def test_without_fa3_hopper_takes_cudnn_and_older_cards_torchs_choice():
    assert decide(MOCHI, placed(), H100.model_copy(update={"fa3": False})).attention == "cudnn"
    assert decide(MOCHI, placed(), A100.model_copy(update={"capability": (10, 0)})).attention == "cudnn"
    assert decide(MOCHI, placed(), A100).attention == "sdpa"
    assert decide(MOCHI, placed(dtype="float32"), H100).attention == "sdpa"


def test_heads_that_fa3_cannot_have_are_attended_by_torch_and_that_is_said():
    levers = decide(ODD_HEADS, placed(), H100)
    assert levers.attention == "sdpa" and "multiple of 8 channels, 256 at most, not 12" in levers.fallbacks[0]
    wide = ODD_HEADS.model_copy(update={"head_dim": 512})
    assert decide(wide, placed(), H100).attention == "sdpa"


def test_a_small_model_is_not_compiled():
    assert not decide(TINY, placed(), H100).compile
    assert decide(TINY, placed(compile=True), H100).compile


def test_layer_by_layer_offload_stays_eager():
    levers = decide(MOCHI, placed(offload="sequential", speed="balanced"), H100)
    assert (levers.compile, levers.linears, levers.vae) == (False, "model", "model")
    assert "sequential" in " ".join(levers.fallbacks)


@pytest.mark.parametrize(
    ("family", "attention", "vae"),
    [("wan", "int8", "stream"), ("hunyuan", "int8", "stream"), ("ltx", "fa3", "model")],
)
def test_other_families_have_the_words_too(family, attention, vae):
    transformer, autoencoder, head_dim = FAMILIES[family]
    subject = Subject(transformer=transformer, vae=autoencoder, num_parameters=2e9, head_dim=head_dim)
    exact = decide(subject, placed(), H100)
    assert (exact.attention, exact.compile, exact.linears, exact.vae) == ("fa3", True, "model", vae)
    balanced = decide(subject, placed(speed="balanced"), H100)
    assert (balanced.attention, balanced.linears, balanced.fallbacks) == (attention, "fp8", ())


@pytest.mark.parametrize(
    ("card", "dtype", "attention", "compiled", "linears", "said"),
    [
        ("RTX 4090", "bfloat16", "sdpa", True, "fp8", ["8-bit attention needs a Hopper GPU"]),
        ("RTX 3090", "bfloat16", "sdpa", True, "model", ["8.9 or newer (Ada, Hopper), not RTX 3090"]),
        ("RTX 2080 Ti", "bfloat16", "sdpa", False, "model", ["bfloat16 need a GPU of capability 8.0"]),
        ("RTX 2080 Ti", "float16", "sdpa", True, "model", ["8.9 or newer"]),
        ("RTX 5090", "bfloat16", "sdpa", True, "fp8", ["needs a Hopper GPU (H100, H200), not RTX 5090"]),
        ("Radeon RX 7900 XTX", "bfloat16", "sdpa", True, "model", ["CUDA GPU", "not Radeon RX 7900 XTX"]),
    ],
)
def test_a_consumer_card_keeps_what_it_can_have_and_says_the_rest(
    card, dtype, attention, compiled, linears, said
):
    levers = decide(MOCHI, placed(speed="balanced", dtype=dtype), CONSUMER[card])
    assert (levers.attention, levers.compile, levers.linears) == (attention, compiled, linears)
    assert levers.vae == "stream"
    for words in said:
        assert words in " ".join(levers.fallbacks)


def test_without_triton_blocks_stay_as_they_are():
    bare = CONSUMER["RTX 4090"].model_copy(update={"triton": False})
    levers = decide(MOCHI, placed(speed="balanced"), bare)
    assert (levers.compile, levers.linears) == (False, "model")
    assert any("triton" in said for said in levers.fallbacks)
    with pytest.raises(ResourceError, match=r"compile: .*triton"):
        decide(MOCHI, placed(compile=True), bare)


def test_apples_gpu_runs_as_diffusers_has_it_and_says_so():
    levers = decide(MOCHI, placed(device="mps", dtype="float32", speed="turbo"), None)
    assert (levers.attention, levers.compile, levers.linears, levers.vae) == (
        "model",
        False,
        "model",
        "model",
    )
    assert levers.skip is not None and "not mps" in " ".join(levers.fallbacks)
    with pytest.raises(ResourceError, match="needs a CUDA GPU"):
        decide(MOCHI, placed(device="mps", attention="fa3"), None)


def test_a_card_by_amd_is_never_taken_for_a_hopper(monkeypatch):
    monkeypatch.setattr("torch.version.hip", "6.4")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _device: (9, 0))  # what an MI250X says
    assert attention.best_exact("cuda", torch.bfloat16) == "sdpa"


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
    ("subject", "gpu", "said"), [(MOCHI, None, "cpu"), (MOCHI, A100, "A100"), (OTHER, H100, "Allegro")]
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
        (OTHER, H100, {"attention": "sdpa"}, RequestError, "Allegro"),
        (OTHER, H100, {"compile": True}, RequestError, "Allegro"),
        (OTHER, H100, {"vae_streaming": True}, RequestError, "Allegro"),
        (MOCHI, H100, {"compile": True, "offload": "sequential"}, RequestError, "sequential"),
        (MOCHI, H100, {"quantize": "fp8", "offload": "sequential"}, ResourceError, "sequential"),
        (MOCHI, H100, {"vae_streaming": True, "offload": "sequential"}, RequestError, "sequential"),
        (ODD_HEADS, H100, {"attention": "fa3"}, ResourceError, "multiple of 8 channels"),
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


def test_around_a_ring_a_word_attends_exactly():
    balanced = decide(MOCHI, placed(speed="balanced"), H100)
    assert balanced.exact_in_a_ring("fa3").attention == "fa3"
    assert "ring" in balanced.exact_in_a_ring("fa3").fallbacks[0]


def test_a_kernel_that_does_not_work_here_gives_way_unless_it_was_asked_for():
    balanced = decide(MOCHI, placed(speed="balanced"), H100)
    assert balanced.with_proven_kernel(True, "fa3", "auto") == balanced
    instead = balanced.with_proven_kernel(False, "fa3", "auto")
    assert instead.attention == "fa3" and "Triton" in instead.fallbacks[0]
    with pytest.raises(ResourceError, match="does not work"):
        balanced.with_proven_kernel(False, "fa3", "int8")


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


@pytest.mark.parametrize("speed", ["balanced", "turbo"])
def test_a_speed_word_takes_sage_where_it_is_installed_and_else_our_kernel(speed):
    here = H100.model_copy(update={"sage": None})
    levers = decide(MOCHI, placed(speed=speed), here)
    assert levers.attention == "sage" and levers.approximate_attention and not levers.fallbacks
    assert decide(MOCHI, placed(speed=speed), H100).attention == "int8"
    assert decide(MOCHI, placed(speed=speed, attention="int8"), here).attention == "int8"
    without_gluon = here.model_copy(update={"int8": False})
    assert decide(MOCHI, placed(speed=speed), without_gluon).attention == "sage"
    assert decide(MOCHI, placed(), here).attention == "fa3", "exact stays exact"


def test_sage_serves_cards_that_our_kernel_does_not_know():
    for card in ("RTX 5090", "RTX 4090", "RTX 3090"):
        here = CONSUMER[card].model_copy(update={"sage": None})
        levers = decide(MOCHI, placed(speed="balanced"), here)
        assert levers.attention == "sage" and "8-bit attention" not in " ".join(levers.fallbacks)
        plain = decide_without_sage(MOCHI, placed(speed="balanced"), here)
        assert plain.attention == "sdpa" and "does not work" in plain.fallbacks[-1]
        assert decide(MOCHI, placed(), here).attention == "sdpa"
    bare = CONSUMER["RTX 4090"].model_copy(update={"sage": None, "triton": False})
    assert decide(MOCHI, placed(speed="balanced"), bare).attention == "sdpa"
    old = CONSUMER["RTX 2080 Ti"].model_copy(update={"sage": None})
    assert decide(MOCHI, placed(speed="balanced", dtype="float16"), old).attention == "sdpa"
    with pytest.raises(ResourceError, match="'sage': SageAttention2 needs a CUDA GPU"):
        decide(MOCHI, placed(attention="sage", dtype="float16"), old)


def test_no_speed_word_takes_sage_where_it_gains_nothing():
    here = H100.model_copy(update={"sage": None})
    narrow = MOCHI.model_copy(update={"head_dim": 64})
    assert decide(narrow, placed(speed="balanced"), here).attention == "fa3"
    assert decide(narrow, placed(attention="sage"), here).attention == "sage"
    eager = decide(MOCHI, placed(speed="balanced", compile=False), here)
    assert eager.attention == "fa3" and "gains nothing" in eager.fallbacks[0]


def test_a_sage_that_was_tried_in_vain_gives_way_to_our_kernel_unless_it_was_asked_for():
    here = H100.model_copy(update={"sage": None})
    levers = decide_without_sage(MOCHI, placed(speed="balanced"), here)
    assert levers.attention == "int8"
    assert levers.fallbacks == ("SageAttention2 as it is installed does not work on H100",)
    with pytest.raises(ResourceError, match="'sage': SageAttention2 as it is installed does not work"):
        decide_without_sage(MOCHI, placed(attention="sage"), here)


@pytest.mark.parametrize(
    ("works", "taken"), [(("sage", "int8"), "sage"), (("int8",), "int8"), (("sage",), "sage"), ((), "fa3")]
)
def test_kernels_in_8_bits_are_tried_in_turn_when_a_model_is_loaded(works, taken, monkeypatch):
    here = H100.model_copy(update={"sage": None})
    monkeypatch.setattr(Gpu, "here", lambda device: here)
    monkeypatch.setattr(Subject, "of", lambda pipeline: MOCHI)
    monkeypatch.setattr(quantize, "fp8_works", lambda device: True)
    monkeypatch.setattr(attention, "best_exact", lambda device, dtype: "fa3")
    monkeypatch.setattr(attention, "works", lambda kernel, *_: kernel in works)
    levers = levers_for(object(), placed(speed="balanced"))
    assert levers.attention == taken and len(levers.fallbacks) == ("sage" not in works) + (taken == "fa3")
    assert levers_for(object(), placed(speed="balanced", attention="model")).attention == "model"
    if "sage" not in works:
        with pytest.raises(ResourceError, match="'sage': SageAttention2 as it is installed does not work"):
            levers_for(object(), placed(attention="sage"))


def test_sage_is_taken_where_it_is_asked_for():
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
