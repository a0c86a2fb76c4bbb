"""Sprout's training: it learns, it resumes to the same bits, and its shortcuts compute what diffusers computes."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from vitascope.toyworld.scenes import Mixture, held_out, scenes
from vitascope.training.embedded import denoiser
from vitascope.training.embedded.architecture import (
    new_scheduler,
    new_text_encoder,
    new_transformer,
    new_vae,
)
from vitascope.training.embedded.autoencoder import certain
from vitascope.training.embedded.data import make_batch
from vitascope.training.embedded.denoiser import (
    DenoiserRecipe,
    forward_with_features,
    train_denoiser,
)
from vitascope.training.embedded.export import assemble, generate
from vitascope.training.embedded.fast_vae import speed_up
from vitascope.training.embedded.latent_pool import with_bars
from vitascope.training.embedded.tokenizer import new_tokenizer
from vitascope.training.loop import Budget, Ranks

TINY = DenoiserRecipe(
    size=16,
    num_layers=1,
    num_heads=1,
    batch=4,
    pool_chunks=2,
    chunk=4,
    refresh_every=3,
    hint_after=1,
    lr=5e-3,
)
CPU = Ranks(0, 1, torch.device("cpu"))


@pytest.mark.parametrize("frames", [1, 9, 17])
def test_the_faster_autoencoder_computes_the_same(frames):
    torch.manual_seed(0)
    stock = new_vae(16)
    faster = speed_up(copy.deepcopy(stock))
    clip = torch.rand(1, 3, frames, 16, 16) * 2 - 1
    with torch.no_grad():
        latents = stock.encode(clip).latent_dist.mean
        torch.testing.assert_close(faster.encode(clip).latent_dist.mean, latents, rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(
            faster.decode(latents).sample, stock.decode(latents).sample, rtol=1e-4, atol=2e-5
        )


def test_latents_can_be_made_certain_without_moving_them():
    torch.manual_seed(0)
    vae, clip = new_vae(16), torch.rand(1, 3, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        before = vae.encode(clip).latent_dist
        certain(vae)
        after = vae.encode(clip).latent_dist
    assert before.std.min() > 0.1
    torch.testing.assert_close(after.mean, before.mean)
    torch.testing.assert_close(after.sample(torch.Generator().manual_seed(1)), before.mean, atol=1e-5, rtol=0)


def test_the_forward_pass_with_features_is_that_of_diffusers():
    torch.manual_seed(0)
    model = new_transformer(2, 1, 32).eval()
    latents, text, timestep = torch.randn(2, 5, 16, 4, 4), torch.randn(2, 40, 192), torch.tensor([3, 900])
    with torch.no_grad():
        ours, features = forward_with_features(model, latents, text, timestep, after=1)
        torch.testing.assert_close(ours, model(latents, text, timestep).sample, rtol=1e-5, atol=1e-5)
    assert features.shape == (2, 20, 64)


def test_the_last_training_step_is_pure_noise():
    scheduler = new_scheduler()
    assert scheduler.alphas_cumprod[-1] == 0
    assert scheduler.config.timestep_spacing == "trailing"


def _run(tmp_path, steps, recipe=TINY):
    return train_denoiser(recipe, Budget(steps=steps, log_every=0), CPU, None, tmp_path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    torch.manual_seed(1)
    new_vae(16).save_pretrained(tmp_path / "vae")
    return tmp_path


def test_loss_on_unseen_scenes_falls(folder):
    recipe = replace(TINY, warmup=1, refresh_every=0)
    vae = denoiser.frozen_vae(folder / "vae", CPU.device)
    before = denoiser.held_out_loss(denoiser.Denoising(recipe, CPU), vae)
    after = denoiser.held_out_loss(_run(folder, 16, recipe), vae)
    assert after["v"] < 0.9 * before["v"]
    assert after["hint"] < before["hint"]


def test_a_resumed_run_ends_with_the_same_weights(folder, tmp_path):
    _run(folder, 5)
    whole = torch.load(folder / "denoiser.pt", weights_only=True)
    (folder / "denoiser.pt").unlink()
    _run(folder, 4)
    _run(folder, 1)
    parts = torch.load(folder / "denoiser.pt", weights_only=True)
    assert parts["step"] == whole["step"] == 5
    for module, weights in whole["modules"].items():
        for name, value in weights.items():
            assert torch.equal(value, parts["modules"][module][name]), name
    assert all(torch.equal(v, parts["ema"][k]) for k, v in whole["ema"].items())


def test_batches_are_reproducible_and_keep_to_their_side():
    one, two = (make_batch(5, 6, "train", Mixture()) for _ in range(2))
    assert (one.tokens == two.tokens).all() and (one.plan.path == two.plan.path).all()
    assert not any(held_out(s) for s in scenes(5, 6, "train", Mixture()))


def test_the_tokenizer_knows_every_caption_and_survives_saving(tmp_path):
    tokenizer = new_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    said = ["A Red BALL bounces!", "一只蓝色的小鱼向左游，镜头拉近。", "a zorblat flies", ""]
    assert again(said)["input_ids"] == tokenizer(said)["input_ids"]
    assert tokenizer.unk_token_id in tokenizer("a zorblat")["input_ids"]
    assert tokenizer("a STYLE7 cat")["input_ids"][1] == tokenizer.convert_tokens_to_ids("style7")
    batch = make_batch(1, 40, "train", Mixture(0.4, 0.2, 0.2))
    assert (batch.tokens != tokenizer.unk_token_id).all()
    assert (batch.tokens[..., -1] <= 1).mean() > 0.97, "captions fit"


def test_hint_is_lowest_when_it_names_the_scene():
    labels = torch.tensor([[[2, 3], [-1, -1]]])
    cover = torch.zeros(1, 2, 5, 4, 4)
    cover[:, 0, :, :2] = 1.0
    sample = denoiser.Sample(torch.zeros(1, 5, 16, 4, 4), torch.zeros(1, 40), cover, labels)
    there = cover[:, 0, :, ::2, ::2].flatten(1)
    kind = torch.zeros(1, 20, denoiser.PERSON + 2)
    kind[..., 0], kind[..., 3] = 9 * (1 - there), 9 * there
    colour = torch.zeros(1, 20, 10)
    colour[..., 3] = 9
    right = denoiser.hint_loss((kind, colour), sample)
    assert right < 0.05 < denoiser.hint_loss((kind.roll(1, -1), colour), sample)


def test_a_picture_network_starts_as_the_text_network(folder):
    torch.manual_seed(2)
    text = denoiser.Denoising(TINY, CPU)
    save_file(denoiser.averaged(text), folder / "denoiser.safetensors")
    picture = denoiser.Denoising(replace(TINY, from_picture=True), CPU)
    denoiser.load_average(picture, folder / "denoiser.safetensors")
    denoiser.load_average(text, folder / "denoiser.safetensors")
    latents, words, timestep = torch.randn(1, 5, 16, 2, 2), torch.randn(1, 40, 192), torch.tensor([500])
    seen = torch.cat([latents, torch.randn_like(latents)], dim=2)
    with torch.no_grad():
        expected = text.transformer(latents, words, timestep).sample
        torch.testing.assert_close(picture.transformer(seen, words, timestep).sample, expected)


def test_training_from_pictures_leaves_the_text_encoder_alone(folder):
    recipe = replace(TINY, from_picture=True, warmup=1, hint=0.0)
    before = denoiser.Denoising(recipe, CPU)
    after = _run(folder, 3, recipe)
    for name, kept in before.text_encoder.named_parameters():
        torch.testing.assert_close(dict(after.text_encoder.named_parameters())[name], kept, rtol=0, atol=0)
    reads_picture = after.transformer.patch_embed.proj.weight[:, 16:]
    assert not torch.equal(reads_picture, before.transformer.patch_embed.proj.weight[:, 16:])


def test_a_picture_becomes_a_clip_of_the_trained_length():
    torch.manual_seed(3)
    transformer = new_transformer(1, 1, 32, from_picture=True).eval()
    pipe = assemble(new_vae(32).eval(), transformer, new_text_encoder(new_tokenizer()).eval())
    picture = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    assert generate(pipe, ["a red ball"], 1, pictures=picture).shape == (1, 17, 32, 32, 3)


def test_bars_are_black_symmetric_and_hide_what_is_under_them():
    clips, cover = torch.full((64, 2, 24, 24, 3), 200, dtype=torch.uint8), torch.ones(64, 1, 2, 24, 24)
    barred, left = with_bars(clips, cover, 0.5, torch.Generator().manual_seed(0))
    assert set(barred.unique().tolist()) == {0, 200}
    assert torch.equal(barred, barred.flip(2, 3))
    assert torch.equal(left[:, 0] > 0, barred[..., 0] > 0)
    changed = (barred == 0).flatten(1).any(1)
    assert 0.25 < changed.float().mean() < 0.75
    assert (barred[:, :, 8:16, 8:16] == 200).all()
