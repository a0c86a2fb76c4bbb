"""Split over ranks, denoisers give what one rank gives: any layout, tokens and heads that do not divide."""

import pytest
import torch
from diffusers import (
    CogVideoXTransformer3DModel,
    HunyuanVideoTransformer3DModel,
    LTXVideoTransformer3DModel,
    MochiTransformer3DModel,
    WanTransformer3DModel,
)

from tests.engine.parallel.ranks import on_ranks
from vitascope.engine.attention import joined
from vitascope.engine.attention_processors import install
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.plans import split
from vitascope.errors import RequestError

ROUNDING = 5e-6


def mochi_and_inputs():
    torch.manual_seed(0)
    model = MochiTransformer3DModel(
        num_attention_heads=8,
        attention_head_dim=8,
        num_layers=3,
        pooled_projection_dim=32,
        in_channels=4,
        text_embed_dim=32,
        time_embed_dim=32,
        max_sequence_length=8,
    ).eval()
    torch.nn.init.normal_(model.pos_frequencies)
    inputs = {
        "hidden_states": torch.randn(2, 4, 3, 6, 10),  # 45 tokens
        "encoder_hidden_states": torch.randn(2, 8, 32),
        "timestep": torch.tensor([500.0, 500.0]),
        "encoder_attention_mask": torch.arange(8) < torch.tensor([[5], [1]]),
    }
    with torch.no_grad():
        return model, inputs, model(**inputs).sample


def cogvideox_and_inputs():
    torch.manual_seed(0)
    model = CogVideoXTransformer3DModel(
        num_attention_heads=6,  # four ranks get 2, 2, 1 and 1
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=12,
        num_layers=2,
        sample_width=10,
        sample_height=6,
        sample_frames=9,
        max_text_seq_length=5,
        use_rotary_positional_embeddings=True,
    ).eval()
    inputs = {
        "hidden_states": torch.randn(2, 3, 4, 6, 10),  # 45 tokens
        "encoder_hidden_states": torch.randn(2, 5, 12),
        "timestep": torch.tensor([5, 5]),
        "image_rotary_emb": (torch.randn(45, 16), torch.randn(45, 16)),
    }
    with torch.no_grad():
        return model, inputs, model(**inputs).sample


def wan_and_inputs(*, each_token_its_timestep: bool = False):
    torch.manual_seed(0)
    model = WanTransformer3DModel(
        num_attention_heads=6,  # four ranks get 2, 2, 1 and 1
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    ).eval()
    inputs = {
        "hidden_states": torch.randn(1, 4, 3, 6, 10),  # 45 tokens
        "timestep": torch.arange(45.0)[None] if each_token_its_timestep else torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 7, 16),
    }
    with torch.no_grad():
        return model, inputs, model(**inputs).sample


def wan22_5b_and_inputs():
    return wan_and_inputs(each_token_its_timestep=True)


def hunyuan_video_and_inputs(image_condition_type=None):
    torch.manual_seed(0)
    model = HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=6,
        attention_head_dim=10,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=1,
        patch_size=2,
        patch_size_t=1,
        text_embed_dim=16,
        pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
        image_condition_type=image_condition_type,
    ).eval()
    inputs = {
        "hidden_states": torch.randn(2, 4, 3, 6, 10),
        "timestep": torch.tensor([500.0, 500.0]),
        "encoder_hidden_states": torch.randn(2, 8, 16),
        "encoder_attention_mask": (torch.arange(8) < torch.tensor([[5], [1]])).int(),
        "pooled_projections": torch.randn(2, 8),
        "guidance": torch.tensor([6000.0, 6000.0]),
    }
    with torch.no_grad():
        return model, inputs, model(**inputs).sample


def ltx_and_inputs(*, each_token_its_timestep: bool = False):
    torch.manual_seed(0)
    model = LTXVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=2,
        caption_channels=16,
    ).eval()
    inputs = {
        "hidden_states": torch.randn(2, 45, 4),
        "timestep": torch.arange(90.0).view(2, 45)
        if each_token_its_timestep
        else torch.tensor([500.0, 500.0]),
        "encoder_hidden_states": torch.randn(2, 8, 16),
        "encoder_attention_mask": (torch.arange(8) < torch.tensor([[5], [1]])).int(),
        "num_frames": 3,
        "height": 3,
        "width": 5,
    }
    with torch.no_grad():
        return model, inputs, model(**inputs).sample


def ltx_from_a_picture_and_inputs():
    return ltx_and_inputs(each_token_its_timestep=True)


def _outputs(rank, model, inputs, layouts):
    """The whole output on this rank under each layout, one after the other on the same model."""
    outputs = []
    for layout in layouts:
        mesh = Mesh.join(layout, torch.device("cpu"))
        installed = split(model, mesh, "sdpa")
        install(model, installed.joint or joined("sdpa"))
        outputs.append(model(**inputs).sample)
        installed.remove()
    return outputs


@pytest.mark.parametrize(
    "build",
    [
        mochi_and_inputs,
        cogvideox_and_inputs,
        wan_and_inputs,
        wan22_5b_and_inputs,
        hunyuan_video_and_inputs,
        ltx_and_inputs,
        ltx_from_a_picture_and_inputs,
    ],
)
@pytest.mark.parametrize(
    "layouts",
    [
        [Layout(cfg=2), Layout(ulysses=2), Layout(ring=2)],
        [Layout(cfg=2, ulysses=2), Layout(ulysses=4), Layout(ring=4), Layout(ulysses=2, ring=2)],
    ],
    ids=["two", "four"],
)
def test_every_rank_has_the_output_of_one(build, layouts):
    model, inputs, expected = build()
    answers = on_ranks(layouts[0].world, _outputs, model, inputs, layouts)
    for answer in answers:
        for layout, output in zip(layouts, answer, strict=True):
            torch.testing.assert_close(output, expected, atol=ROUNDING, rtol=1e-5, msg=layout.described())


def _overlapped(rank, model, inputs):
    mesh = Mesh.join(Layout(ulysses=2), torch.device("cpu"))
    installed = split(model, mesh, "sdpa")
    installed.joint.num_pieces = 2
    install(model, installed.joint)
    return model(**inputs).sample, len(installed.joint.pieces(model.config.num_attention_heads))


@pytest.mark.parametrize("build", [mochi_and_inputs, cogvideox_and_inputs])
def test_heads_of_one_sample_may_go_in_two_halves(build):
    model, inputs, expected = build()
    inputs = {n: x if isinstance(x, tuple) else x[:1] for n, x in inputs.items()}
    for output, pieces in on_ranks(2, _overlapped, model, inputs):
        assert pieces == 2
        torch.testing.assert_close(output, expected[:1], atol=ROUNDING, rtol=1e-5)


@pytest.mark.slow
def test_every_one_of_eight_ranks_has_the_output_of_one():
    layouts = [
        Layout(cfg=2, ulysses=4),
        Layout(cfg=2, ulysses=2, ring=2),
        Layout(cfg=2, ring=4),
        Layout(ring=8),
    ]
    model, inputs, expected = cogvideox_and_inputs()
    for answer in on_ranks(8, _outputs, model, inputs, layouts):
        for layout, output in zip(layouts, answer, strict=True):
            torch.testing.assert_close(output, expected, atol=ROUNDING, rtol=1e-5, msg=layout.described())


def test_a_batch_of_one_is_computed_by_every_cfg_rank():
    model, inputs, expected = mochi_and_inputs()
    inputs = {name: value[:1] for name, value in inputs.items()}
    for (output,) in on_ranks(2, _outputs, model, inputs, [Layout(cfg=2)]):
        torch.testing.assert_close(output, expected[:1], atol=ROUNDING, rtol=1e-5)


def test_fewer_tokens_than_ranks_are_refused():
    model, inputs, _ = mochi_and_inputs()
    inputs["hidden_states"] = inputs["hidden_states"][:, :, :1, :2, :2]
    for said in on_ranks(2, _refusal, model, inputs):
        assert "1 token" in said


def _refusal(rank, model, inputs):
    with pytest.raises(RequestError) as caught:
        _outputs(rank, model, inputs, [Layout(ulysses=2)])
    return str(caught.value)


@pytest.mark.slow
def test_compiled_blocks_stay_one_graph():
    assert all(on_ranks(2, _compiled_like_eager))


def _compiled_like_eager(rank):
    model, inputs, expected = mochi_and_inputs()
    installed = split(model, Mesh.join(Layout(ulysses=2), torch.device("cpu")), "sdpa")
    install(model, installed.joint)
    for block in model.transformer_blocks:
        block.forward = torch.compile(block.forward, backend="eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(model(**inputs).sample, expected, atol=ROUNDING, rtol=1e-5)
    return True


def _apart(rank, model):
    with pytest.raises(RequestError) as refused:
        split(model, Mesh.join(Layout(ulysses=2), torch.device("cpu")), "sdpa")
    return str(refused.value)


def test_a_model_whose_first_frame_is_apart_is_refused():
    model, _, _ = hunyuan_video_and_inputs("token_replace")
    for said in on_ranks(2, _apart, model):
        assert "first frame" in said
