"""The denoiser and the VAE as diffusers models: masks, chunks, backends, adapters, checkpointing."""

import pytest
import torch
from peft import LoraConfig

from tests.models.opensora.tiny_opensora import tiny_stdit3, tiny_vae


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return tiny_stdit3()


def inputs(batch=2, **changes):
    generator = torch.Generator().manual_seed(1)
    return {
        "hidden_states": torch.randn(batch, 4, 5, 5, 7, generator=generator),
        "timestep": torch.tensor([900.0, 20.0])[:batch],
        "encoder_hidden_states": torch.randn(batch, 6, 32, generator=generator),
        "fps": torch.full((batch,), 24.0),
        "height": 40,
        "width": 56,
        "return_dict": False,
        **changes,
    }


@torch.no_grad()
def test_odd_sizes_are_padded_and_cropped(model):
    assert model(**inputs())[0].shape == (2, 8, 5, 5, 7)


@torch.no_grad()
def test_masked_tokens_are_not_read(model):
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
    given = inputs()
    expected = model(**given, encoder_attention_mask=mask)[0]
    for row, length in enumerate((3, 4)):
        part = {name: value[row, None] for name, value in given.items() if torch.is_tensor(value)}
        part["encoder_hidden_states"] = part["encoder_hidden_states"][:, :length]
        assert torch.allclose(expected[row, None], model(**{**given, **part})[0], atol=1e-6)


@torch.no_grad()
def test_a_dropped_caption_is_the_learnt_one(model):
    null = model.null_caption[:6].expand(2, -1, -1)
    dropped = model(**inputs(drop_caption=torch.tensor([True, True])))[0]
    assert torch.equal(dropped, model(**inputs(encoder_hidden_states=null))[0])
    assert not torch.allclose(dropped, model(**inputs())[0])


@torch.no_grad()
def test_an_all_true_frame_mask_changes_nothing_and_a_false_one_does(model):
    free = model(**inputs())[0]
    assert torch.allclose(free, model(**inputs(frame_mask=torch.ones(2, 5, dtype=torch.bool)))[0], atol=1e-6)
    kept = torch.tensor([[False, True, True, True, True]] * 2)
    assert not torch.allclose(free, model(**inputs(frame_mask=kept))[0], atol=1e-3)


@torch.no_grad()
def test_attention_backends_and_fused_projections_agree(model):
    expected = model(**inputs())[0]
    model.set_attention_backend("_native_math")
    try:
        assert torch.allclose(expected, model(**inputs())[0], atol=1e-5)
    finally:
        model.reset_attention_backend()
    fused = tiny_stdit3()
    fused.load_state_dict(model.state_dict())
    for module in fused.modules():
        if hasattr(module, "fuse_projections"):
            module.fuse_projections()
    assert torch.allclose(expected, fused(**inputs())[0], atol=1e-5)


def test_an_adapter_starts_as_nothing_and_learns():
    model = tiny_stdit3()
    expected = model(**inputs())[0]
    model.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    model.enable_gradient_checkpointing()
    model.train()
    made = model(**inputs())[0]
    assert torch.allclose(expected, made, atol=1e-6)
    made.square().mean().backward()
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learning and all("lora" in name for name in learning)
    assert all(p.grad is not None for name, p in model.named_parameters() if "lora_B" in name)


def test_checkpointing_gives_the_same_gradients():
    grads = []
    model = tiny_stdit3().train()
    for checkpointing in (False, True):
        if checkpointing:
            model.enable_gradient_checkpointing()
        model.zero_grad()
        model(**inputs())[0].square().mean().backward()
        grads.append(model.transformer_blocks[0].ff.net[2].weight.grad.clone())
    assert grads[0].abs().max() > 0
    assert torch.equal(*grads)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 17, 18, 20, 34])
def test_any_number_of_frames_comes_back(num_frames):
    vae = tiny_vae()
    pixels = torch.rand(1, 3, num_frames, 16, 24) * 2 - 1
    latents = vae.encode(pixels, sample_posterior=False)
    assert latents.shape == (1, 4, vae.num_latent_frames(num_frames), 2, 3)
    decoded = vae.decode(latents, num_frames)
    assert decoded.shape == pixels.shape
    parts = list(vae.decode_chunks(latents, num_frames))
    assert torch.allclose(torch.cat(parts, dim=2), decoded, atol=1e-5)
    assert [part.shape[2] for part in parts][:-1] == [17] * ((num_frames - 1) // 17)


@torch.no_grad()
def test_chunks_do_not_see_each_other():
    vae = tiny_vae()
    pixels = torch.rand(1, 3, 34, 16, 16)
    both = vae.encode(pixels, sample_posterior=False)
    assert torch.allclose(both[:, :, :5], vae.encode(pixels[:, :, :17], sample_posterior=False), atol=1e-6)


@torch.no_grad()
def test_a_posterior_is_drawn_by_its_generator():
    vae, pixels = tiny_vae(), torch.rand(1, 3, 4, 16, 16)
    first, same, other = (
        vae.encode(pixels, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@torch.no_grad()
def test_bfloat16_stays_near_float32(model):
    expected = model(**inputs())[0]
    half = tiny_stdit3()
    half.load_state_dict(model.state_dict())
    made = half.bfloat16()(**inputs(frame_mask=torch.ones(2, 5, dtype=torch.bool)))[0]
    assert made.dtype == torch.float32
    assert (made - expected).abs().mean() < 0.05 * expected.abs().mean()


@torch.no_grad()
def test_slicing_changes_nothing_but_memory():
    vae, latents = tiny_vae(), torch.randn(1, 4, 5, 2, 2)
    together = vae.decode(latents, 17)
    vae.enable_slicing()
    assert vae.frame_batch_size == 1
    assert torch.allclose(vae.decode(latents, 17), together, atol=1e-3)
    vae.disable_slicing()
    assert torch.equal(vae.decode(latents, 17), together)


def test_a_wrong_number_of_latent_frames_is_refused():
    with pytest.raises(ValueError, match="17 frames need 5 latent frames, not 4"):
        tiny_vae().decode(torch.zeros(1, 4, 4, 2, 2), 17)


@torch.no_grad()
def test_tiles_can_be_switched_on_and_off():
    vae, latents = tiny_vae(), torch.randn(1, 4, 1, 2, 2)
    whole = vae.decode(latents, 1)
    vae.enable_tiling()
    assert vae.spatial_vae.use_tiling
    vae.disable_tiling()
    assert torch.equal(whole, vae.decode(latents, 1))
