"""The parts that are ours, against plain formulas."""

import pytest
import torch
from diffusers.models.attention_processor import Attention

from tests.models.opensora_plan.tiny_opensora_plan import tiny_transformer, tiny_vae
from vitascope.errors import RequestError, UnknownName
from vitascope.models.opensora_plan import AutoencoderKLCausalVideo, OpenSoraPlanTransformer3DModel
from vitascope.models.opensora_plan.conditioning import compress_mask, mask_all_but
from vitascope.models.opensora_plan.sampling import guided
from vitascope.models.opensora_plan.skiparse import SkiparseAttnProcessor
from vitascope.models.opensora_plan.tiling import Tiling


@torch.no_grad()
@pytest.mark.parametrize("in_groups", [False, True])
@pytest.mark.parametrize("num_tokens", [16, 21, 48])
def test_skiparse_is_dense_attention_within_each_part(in_groups, num_tokens):
    torch.manual_seed(0)
    stride, dim = 4, 12
    attention = Attention(dim, heads=2, dim_head=6, bias=True)
    tokens = torch.randn(2, num_tokens, dim)
    mask = torch.zeros(2, 1, num_tokens)
    mask[1, 0, num_tokens // 2 :] = -10000.0
    places = torch.arange(num_tokens)
    part = places // stride % stride if in_groups else places % stride
    apart = torch.where(part[:, None] == part[None], 0.0, -torch.inf)

    expected = attention(tokens, attention_mask=None)
    for bias in (None, mask):
        query, key, value = (
            project(tokens).unflatten(-1, (2, 6)).transpose(1, 2)
            for project in (attention.to_q, attention.to_k, attention.to_v)
        )
        scores = query @ key.mT / 6**0.5 + apart + (0 if bias is None else bias[:, None])
        seen = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        expected = attention.to_out[0](seen)
        actual = SkiparseAttnProcessor(stride, in_groups=in_groups)(attention, tokens, attention_mask=bias)
        # A row whose part is masked whole looks at padding upstream and here; the formula has none.
        rows = (apart + (mask[1] if bias is not None else 0)).amax(-1) > -1
        assert torch.allclose(actual[:, rows], expected[:, rows], atol=1e-5)


def test_only_the_inner_layers_are_sparse():
    model = tiny_transformer("1.3", num_layers=32)
    strides = [block.attn1.processor.stride for block in model.transformer_blocks]
    assert strides == [4 if 2 <= index < 30 else 1 for index in range(32)]
    groups = [block.attn1.processor.in_groups for block in model.transformer_blocks[2:30]]
    assert groups == [bool(index % 2) for index in range(2, 30)]
    assert all(block.attn1.processor.stride == 1 for block in tiny_transformer("1.2").transformer_blocks)


@torch.no_grad()
def test_every_token_is_told_where_it_stands():
    model = tiny_transformer("1.2", num_layers=1)
    latents, text = torch.zeros(1, 4, 2, 4, 6), torch.zeros(1, 3, 32)
    same = model(latents, text, torch.tensor([1]), return_dict=False)[0]
    latents[:, :, 1, 2:, 4:] = 1
    moved = torch.roll(latents, (-1, -2, -4), (2, 3, 4))
    there, here = (model(x, text, torch.tensor([1]), return_dict=False)[0] for x in (latents, moved))
    assert not torch.allclose(there, same)
    assert not torch.allclose(torch.roll(there, (-1, -2, -4), (2, 3, 4)), here, atol=1e-6)
    _, places = model.rotary_tables((2, 3, 4), torch.device("cpu"))
    assert [int(axis[0, -1]) for axis in places] == [1, 2, 3]


def test_masks_are_compressed_in_both_layouts():
    mask = mask_all_but((0, -1), 9, 16, 16)
    assert mask[0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 0]
    by_frame = compress_mask(mask)[0, :, :, 0, 0]
    assert by_frame.T.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]
    spread = compress_mask(mask, layout="spread over the clip")[0, :, :, 0, 0]
    assert spread.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]
    assert mask_all_but(range(3), 9, 8, 8).sum() == 6 * 64
    with pytest.raises(RequestError, match="given frame -10"):
        mask_all_but((-10,), 9, 8, 8)


@torch.no_grad()
def test_tiles_cover_the_clip():
    vae = tiny_vae("1.2")
    clip = torch.rand(1, 3, 9, 48, 40) * 2 - 1
    whole = vae.encode(clip).latent_dist.parameters
    vae.enable_tiling(Tiling(32, 4, 5, 2, 0.25))
    tiled = vae.encode(clip).latent_dist.parameters
    assert tiled.shape == whole.shape
    assert not torch.equal(tiled, whole)
    decoded = vae.decode(tiled.chunk(2, dim=1)[0]).sample
    assert decoded.shape == clip.shape
    vae.enable_tiling(Tiling(64, 8, 9, 3, 0.25))
    assert torch.equal(vae.encode(clip).latent_dist.parameters, whole)


def test_a_block_that_nobody_knows_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'AttnBlock3D"):
        AutoencoderKLCausalVideo(encoder_attention="AttnBlock3DFox")
    with pytest.raises(RequestError, match="patch_size_t=2"):
        OpenSoraPlanTransformer3DModel(patch_size_t=2)


def test_guidance_goes_from_without_to_with():
    predicted = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert torch.equal(guided(predicted, 2.0), torch.tensor([[5.0, 10.0]]))
    rescaled = guided(predicted, 2.0, 1.0)
    assert torch.allclose(rescaled.std(), predicted[1].std())
