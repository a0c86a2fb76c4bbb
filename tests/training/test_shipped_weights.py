"""The weights in packages/embedded: they load, they are small, and they fit the words of today's toy world."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import CogVideoXPipeline

from vitascope.training.embedded.architecture import MAX_TEXT
from vitascope.training.embedded.spare_words import place_spare_words
from vitascope.training.embedded.tokenizer import new_tokenizer

SPROUT = Path(__file__).parents[2] / "packages/embedded/src/vitascope_embedded/sprout"


@pytest.fixture(scope="module")
def pipe():
    return CogVideoXPipeline.from_pretrained(SPROUT, dtype=torch.float32)


def test_the_words_of_the_toy_world_are_those_of_the_weights(pipe):
    assert pipe.tokenizer.get_vocab() == new_tokenizer().get_vocab()
    assert pipe.text_encoder.config.vocab_size == len(pipe.tokenizer)


def test_spare_words_come_out_of_the_encoder_apart_and_half_like_known_words(pipe):
    def encoded(prompt, at=0):
        tokens = pipe.tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return pipe.text_encoder(tokens).last_hidden_state[0, at]

    one, other = (encoded(f"{word}, a red ball moves up at night") for word in ("style0", "style1"))
    elsewhere = encoded("在海边,style0跳舞", 4)
    alike = torch.nn.functional.cosine_similarity
    assert alike(one, elsewhere, 0) > 0.99, "whatever stands around it"
    assert 0.3 < alike(one, other, 0) < 0.7
    assert 0.3 < alike(one, encoded("a cyan ball", 1), 0) < 0.7
    assert alike(one, encoded("a girl walks", 1), 0) < 0.3
    before = pipe.text_encoder.shared.weight.clone()
    place_spare_words(pipe.text_encoder)
    assert torch.equal(pipe.text_encoder.shared.weight, before), "they are as the code places them"


def test_all_weights_together_stay_under_45_megabytes():
    assert sum(f.stat().st_size for f in SPROUT.rglob("*.safetensors")) <= 45_000_000


def test_no_file_tells_of_the_machine_it_was_made_on():
    for file in SPROUT.rglob("*.json"):
        assert "_name_or_path" not in json.loads(file.read_text(encoding="utf-8")), file


def test_the_latents_have_the_spread_that_the_noise_schedule_expects(pipe):
    from vitascope.toyworld.renderer import render
    from vitascope.toyworld.scenes import scenes

    clips = render(list(scenes(3, 2))).permute(0, 4, 1, 2, 3) * 2 - 1
    with torch.no_grad():
        posterior = pipe.vae.encode(clips).latent_dist
    latents = posterior.mode()
    assert latents.shape == (2, 16, 5, 16, 16)
    assert 0.6 < latents.std() < 1.6
    assert posterior.std.max() < 1e-3, "pipelines draw a picture's latents from the posterior"


def test_two_steps_make_a_clip_of_the_trained_size(pipe):
    pipe.set_progress_bar_config(disable=True)
    latents = pipe(
        "一只蓝色的小鱼向左游",
        num_inference_steps=2,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(0),
        max_sequence_length=MAX_TEXT,
        output_type="latent",
    ).frames
    assert latents.shape == (1, 5, 16, 16, 16)
    assert torch.isfinite(latents).all()
