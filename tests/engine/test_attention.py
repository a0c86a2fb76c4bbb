"""The attention doors: equal to diffusers within rounding, one graph a block, clear about what is not here."""

from __future__ import annotations

import math
import sys
import types

import pytest
import torch
from diffusers import (
    CogVideoXTransformer3DModel,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoTransformer3DModel,
    LTXVideoTransformer3DModel,
    MochiTransformer3DModel,
    SkyReelsV2Transformer3DModel,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)

from tests.generators.tiny_cogvideox import NET
from vitascope.engine import attention, attention_processors
from vitascope.engine.denoisers import blocks_of
from vitascope.errors import RequestError

MOCHI = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 2,
    "pooled_projection_dim": 16,
    "in_channels": 4,
    "text_embed_dim": 32,
    "time_embed_dim": 16,
    "max_sequence_length": 8,
}
COGVIDEOX = {**NET, "use_rotary_positional_embeddings": True}


def mochi():
    torch.manual_seed(0)
    model = MochiTransformer3DModel(**MOCHI).eval()
    torch.nn.init.normal_(model.pos_frequencies)
    return model


def mochi_inputs(lengths, seed=1):
    torch.manual_seed(seed)
    return {
        "hidden_states": torch.randn(len(lengths), 4, 3, 4, 6),
        "encoder_hidden_states": torch.randn(len(lengths), 8, 32),
        "timestep": torch.full((len(lengths),), 500.0),
        "encoder_attention_mask": torch.arange(8) < torch.tensor(lengths)[:, None],
    }


def cogvideox_inputs():
    torch.manual_seed(1)
    return {
        "hidden_states": torch.randn(2, 3, 4, 4, 4),
        "encoder_hidden_states": torch.randn(2, 12, 16),
        "timestep": torch.tensor([500, 500]),
        "image_rotary_emb": (torch.randn(12, 16), torch.randn(12, 16)),
    }


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(5, 1), (8, 8), (0, 3)])
def test_mochi_equals_diffusers_at_any_text_length(lengths):
    model, inputs = mochi(), mochi_inputs(lengths)
    expected = model(**inputs).sample
    attention_processors.install(model, attention.joined("sdpa"))
    torch.testing.assert_close(model(**inputs).sample, expected, atol=2e-6, rtol=1e-5)


@torch.no_grad()
def test_cogvideox_equals_diffusers():
    torch.manual_seed(0)
    model, inputs = CogVideoXTransformer3DModel(**COGVIDEOX).eval(), cogvideox_inputs()
    expected = model(**inputs).sample
    attention_processors.install(model, attention.joined("sdpa"))
    torch.testing.assert_close(model(**inputs).sample, expected, atol=2e-6, rtol=1e-5)


def wan(cls=WanTransformer3DModel, **config):
    torch.manual_seed(0)
    model = cls(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16, freq_dim=16,
        ffn_dim=32, num_layers=3, rope_max_seq_len=16, **config,
    )  # fmt: skip
    tokens = 3 * 2 * 3
    inputs = {
        "hidden_states": torch.randn(2, 4, 3, 4, 6),
        "encoder_hidden_states": torch.randn(2, 512, 16),
        "timestep": torch.tensor([500, 400]),
    }
    if "image_dim" in config:
        inputs["encoder_hidden_states_image"] = torch.randn(2, 5, 8)
    elif "vace_layers" in config:
        inputs["control_hidden_states"] = torch.randn(2, 4, 3, 4, 6)
        inputs["control_hidden_states_scale"] = torch.tensor([1.0, 0.5])
    elif cls is WanTransformer3DModel:  # Wan 2.2 5B: a timestep for each token
        inputs["timestep"] = torch.full((2, tokens), 500)
    return model.eval(), inputs


def hunyuan(**config):
    torch.manual_seed(0)
    model = HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=3,
        num_single_layers=3, num_refiner_layers=1, text_embed_dim=16, pooled_projection_dim=8,
        rope_axes_dim=(4, 6, 6), **config,
    )  # fmt: skip
    # With a gap, as a prompt about a picture has it: the model counts, and so must we.
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0]])
    inputs = {
        "hidden_states": torch.randn(2, 4, 3, 4, 6),
        "encoder_hidden_states": torch.randn(2, 8, 16),
        "encoder_attention_mask": mask,
        "pooled_projections": torch.randn(2, 8),
        "timestep": torch.tensor([500, 400]),
        "guidance": torch.tensor([6000.0, 6000.0]) if config.get("guidance_embeds", True) else None,
    }
    return model.eval(), inputs


def hunyuan15(picture=0.0):
    torch.manual_seed(0)
    model = HunyuanVideo15Transformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=3,
        num_refiner_layers=1, text_embed_dim=16, text_embed_2_dim=8, image_embed_dim=8, rope_axes_dim=(4, 6, 6),
    )  # fmt: skip
    inputs = {
        "hidden_states": torch.randn(2, 4, 3, 4, 6),
        "encoder_hidden_states": torch.randn(2, 8, 16),
        "encoder_attention_mask": torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]),
        "encoder_hidden_states_2": torch.randn(2, 4, 8),
        "encoder_attention_mask_2": torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0]]),
        "image_embeds": picture * torch.randn(2, 3, 8),
        "timestep": torch.tensor([500.0, 400.0]),
    }
    return model.eval(), inputs


def ltx():
    torch.manual_seed(0)
    model = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
        num_layers=3, caption_channels=32,
    )  # fmt: skip
    inputs = {
        "hidden_states": torch.randn(2, 18, 8),
        "encoder_hidden_states": torch.randn(2, 6, 32),
        "encoder_attention_mask": torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]),
        "timestep": torch.tensor([500, 400]),
        "num_frames": 3,
        "height": 2,
        "width": 3,
        "rope_interpolation_scale": (0.32, 32, 32),
    }
    return model.eval(), inputs


# With the graphs of all blocks together: HunyuanVideo's are of two kinds, and the first of a kind reads its input from
# another layout than those that read the last one's output.
OTHERS = {
    "wan": (lambda: wan(image_dim=8, added_kv_proj_dim=24), 1),
    "wan-5b": (wan, 1),
    "wan-vace": (lambda: wan(WanVACETransformer3DModel, vace_layers=[0, 2], vace_in_channels=4), 3),
    "skyreels": (lambda: wan(SkyReelsV2Transformer3DModel), 1),
    "hunyuan": (hunyuan, 3),
    "hunyuan-i2v": (lambda: hunyuan(image_condition_type="token_replace"), 4),
    "hunyuan15": (hunyuan15, 1),
    "hunyuan15-i2v": (lambda: hunyuan15(picture=1.0), 1),
    "ltx": (ltx, 1),
}


@torch.no_grad()
@pytest.mark.parametrize("name", OTHERS)
def test_other_families_equal_diffusers_and_their_blocks_share_graphs(name):
    build, num_graphs = OTHERS[name]
    model, inputs = build()
    expected = model(**inputs).sample
    attention_processors.install(model, attention.joined("sdpa"))
    torch.testing.assert_close(model(**inputs).sample, expected, atol=5e-6, rtol=1e-4)
    graphs = []

    def count(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    for block in blocks_of(model):
        block.compile(backend=count, fullgraph=True, dynamic=False)
    torch.testing.assert_close(model(**inputs).sample, expected, atol=5e-6, rtol=1e-4)
    assert len(graphs) == num_graphs < len(blocks_of(model))


@torch.no_grad()
def test_the_first_and_last_blocks_attend_otherwise_where_they_are_told_to():
    model, inputs = hunyuan()
    seen = []

    def joint(name):
        def attend(*given):
            seen.append(name)
            return attention.joined("sdpa")(*given)

        return attend

    attention_processors.install(model, joint("inner"), joint("edge"))
    model(**inputs)
    assert seen == ["edge", *["inner"] * 4, "edge"]


@torch.no_grad()
def test_a_new_prompt_changes_the_lengths_but_not_the_graph():
    model = mochi()
    attention_processors.install(model, attention.joined("sdpa"))
    graphs = []

    def count(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    for block in model.transformer_blocks:
        block.compile(backend=count, fullgraph=True, dynamic=False)
    for lengths in [(5, 1), (2, 7), (8, 0)]:
        inputs = mochi_inputs(lengths, seed=sum(lengths))
        torch.testing.assert_close(model(**inputs).sample, mochi()(**inputs).sample, atol=2e-6, rtol=1e-5)
    assert len(graphs) == 2  # all blocks but the last share one


@torch.no_grad()
def test_a_graph_hands_the_lengths_on_and_computes_nothing_with_them():
    model = mochi()
    attention_processors.install(model, attention.joined("sdpa"))
    users = []

    def look(graph, inputs):
        places = [node for node in graph.graph.nodes if node.op == "placeholder"]
        for place, given in zip(places, inputs, strict=True):
            if isinstance(given, torch.Tensor) and given.dtype == torch.int64:
                users.extend(str(user.target) for user in place.users)
        return graph.forward

    for block in model.transformer_blocks:
        block.compile(backend=look, fullgraph=True, dynamic=False)
    model(**mochi_inputs((5, 1)))
    assert users and all("vitascope" in user and "attend" in user for user in users), users


@torch.no_grad()
def test_the_mask_is_read_once_a_prompt():
    lengths, mask = attention_processors.TextLengths(), torch.tensor([[True, True, False]])
    lengths.read(mask)
    first = lengths.values
    lengths.read(mask)
    assert lengths.values is first
    lengths.read(torch.tensor([[True, False, False]]))
    assert lengths.values.tolist() == [1]


def test_a_mask_with_gaps_is_refused():
    with pytest.raises(RequestError, match="gaps"):
        attention_processors.TextLengths().read(torch.tensor([[True, False, True]]))


def test_another_model_is_refused():
    with pytest.raises(RequestError, match="Linear"):
        attention_processors.install(torch.nn.Linear(1, 1), attention.joined("sdpa"))


def test_a_cpu_has_torchs_own_kernel_alone():
    assert attention.best_exact("cpu") == "sdpa"


def test_few_keys_are_attended_to_exactly():
    query, key, value = torch.randn(3, 2, 9, 2, 8).unbind()
    found = attention.attend(query, key, value, "int8")
    torch.testing.assert_close(found, attention.attend(query, key, value, "sdpa"))


@pytest.fixture
def sage(monkeypatch):
    """A stand-in for SageAttention2, which runs on GPUs alone: exact, in its own layout; and its version."""

    def sageattn(q, k, v, tensor_layout, is_causal):
        assert (tensor_layout, is_causal) == ("NHD", False)
        q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)

    stand_in = types.ModuleType("sageattention")
    stand_in.sageattn = sageattn
    attention.works.cache_clear()
    monkeypatch.setitem(sys.modules, "sageattention", stand_in)
    installed = {"sageattention": "2.2.0"}
    monkeypatch.setattr(attention.metadata, "version", installed.__getitem__)
    attention.sage_lacks.cache_clear()
    yield installed
    attention.sage_lacks.cache_clear()
    attention.works.cache_clear()


def test_sage_attends_to_valid_tokens_alone(sage):
    query, key, value = torch.randn(3, 2, 9, 2, 8).unbind()
    lengths = torch.tensor([9, 4])
    found = attention.attend(query, key, value, "sage", lengths)
    torch.testing.assert_close(found, attention.attend(query, key, value, "sdpa", lengths))
    assert attention.sage_lacks() is None


def refused(*_, **__):
    raise ValueError("Unsupported head_dim: 8")


@pytest.mark.parametrize(
    ("replaced", "works"),
    [
        (None, True),
        (refused, False),
        (lambda q, k, v, **_: v * math.nan, False),
        (lambda q, k, v, **_: v, False),
    ],
)
def test_sage_is_tried_before_it_is_trusted(sage, replaced, works, monkeypatch):
    if replaced:
        monkeypatch.setattr(sys.modules["sageattention"], "sageattn", replaced)
    assert attention.works("sage", torch.device("cpu"), torch.float32, 8) is works


def test_an_older_sage_is_refused(sage):
    sage["sageattention"] = "1.0.6"
    assert "sageattention 1.0.6 is too old; build version 2 from https://" in attention.sage_lacks()


def test_a_missing_sage_is_named():
    attention.sage_lacks.cache_clear()
    assert "the package sageattention is not installed; build version 2" in attention.sage_lacks()
