"""The negative prompt is asked on some steps only: how many calls that makes, and what they are taken to say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vitascope
from tests.generators import tiny_cogvideox, tiny_hunyuan, tiny_ltx, tiny_mochi, tiny_wan
from vitascope.context import Context, FolderCheckpoints
from vitascope.engine.guidance_interval import GuidanceInterval, guided_within
from vitascope.errors import RequestError, RunError

SAVES = {
    "mochi": (tiny_mochi.save_mochi, 7),
    "cogvideox": (tiny_cogvideox.save, 9),
    "wan": (tiny_wan.save_wan, 5),
    "ltx": (tiny_ltx.save_ltx, 9),
    "hunyuan": (tiny_hunyuan.save_hunyuan, 5),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def model(family):
        if family not in made:
            made[family] = SAVES[family][0](tmp_path_factory.mktemp("models") / family)
        return str(made[family])

    return model


def clip(models, family, steps=4, guidance_scale=5.0, **options):
    size = {"width": 32, "height": 32, "num_frames": SAVES[family][1]}
    return vitascope.generate(
        "a red fox",
        model=models(family),
        device="cpu",
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        **size,
        **options,
    )


def notes(made):
    return made.recipe.stages[-1].notes


@pytest.mark.parametrize("outside", ["none", "reuse"])
@pytest.mark.parametrize("family", ["mochi", "cogvideox", "wan", "ltx"])
def test_the_prompt_alone_is_asked_outside_of_the_interval(models, family, outside):
    partly = clip(models, family, guidance_interval=(0, 0.5), guidance_outside=outside)
    assert notes(partly)["num_unguided_steps"] == 2
    assert notes(partly)["num_denoiser_calls"] == (6 if family == "wan" else 4)
    assert notes(partly)["levers"]["guidance"] == {"start": 0.0, "stop": 0.5, "outside": outside}
    assert not np.array_equal(partly.frames[:], clip(models, family).frames[:])


@pytest.mark.parametrize("family", ["mochi", "cogvideox", "wan"])
def test_before_the_interval_the_clip_is_the_one_without_guidance(models, family):
    outside = clip(models, family, guidance_interval=(0.9, 1.0))  # of four steps the last would begin it
    alone = clip(models, family, guidance_scale=1.0)
    assert notes(outside)["num_unguided_steps"] == 4
    assert np.abs(outside.frames[:].astype(int) - alone.frames[:]).max() <= 1


class Denoiser(torch.nn.Module):
    """Answers what the text says, times what the latents say, and keeps the batch sizes that it saw."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, hidden_states, encoder_hidden_states, unbatched, return_dict=True):
        self.batches.append((len(hidden_states), len(encoder_hidden_states), len(unbatched)))
        output = hidden_states * encoder_hidden_states
        return SimpleNamespace(sample=output) if return_dict else (output,)


class MochiTransformer3DModel(Denoiser):
    """Known by its name as one that answers both prompts at once."""


@pytest.mark.parametrize("outside", ["none", "reuse"])
def test_a_batch_of_two_clips_halves_to_their_prompts(outside):
    module = MochiTransformer3DModel()
    run = SimpleNamespace(replaying=False, num_steps=2, num_steps_done=0, num_unguided_steps=0, kept={})
    interval = GuidanceInterval(start=0, stop=0.5, outside=outside)
    text = torch.tensor([1.0, 2.0, 5.0, 7.0])[:, None]  # negative of each clip, then the prompts
    unbatched, latents = torch.zeros(3), torch.ones(4, 1)
    with guided_within(SimpleNamespace(transformer=module), "transformer", run, interval):
        first = module(latents, encoder_hidden_states=text, unbatched=unbatched, return_dict=False)[0]
        run.num_steps_done = 1
        second = module(2 * latents, encoder_hidden_states=text, unbatched=unbatched).sample
    assert module.batches == [(4, 4, 3), (2, 2, 3)]
    assert torch.equal(first, text)
    negative = [10.0, 14.0] if outside == "none" else [10.0 - 4.0, 14.0 - 5.0]
    assert second.flatten().tolist() == [*negative, 10.0, 14.0]


def test_an_interval_that_leaves_no_step_out_is_an_error(models):
    with pytest.raises(RequestError, match=r"guidance_interval=\[0, 0.9\] .* out of none of 4 steps"):
        clip(models, "mochi", guidance_interval=(0, 0.9))


def test_skipped_steps_and_partial_guidance_go_together(models):
    made = notes(clip(models, "mochi", steps=16, skip_interval=2, guidance_interval=(0, 0.5)))
    # The forecast of one prompt begins anew where the batch halves: two answers are computed first.
    assert made["num_denoiser_calls"] == 12 and made["num_unguided_steps"] == 8


def test_a_run_taken_up_again_knows_the_last_difference(models, tmp_path):
    store = FolderCheckpoints(tmp_path)

    def fall(progress):
        if progress.stage == "denoise" and progress.step == 3:
            raise ValueError("the power went")

    options = {"guidance_interval": (0, 0.5), "guidance_outside": "reuse"}
    with pytest.raises(RunError, match="the power went"):
        clip(
            models,
            "mochi",
            context=Context(checkpoints=store, checkpoint_every=1, on_progress=fall),
            **options,
        )
    made = notes(clip(models, "mochi", context=Context(checkpoints=store, checkpoint_every=1), **options))
    assert made["resumed_from_step"] == 3
    assert made["num_unguided_steps"] == 2


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("mochi", {"guidance_interval": (0.5, 0.2)}, "from and to"),
        ("mochi", {"guidance_interval": (0, 1)}, "from and to"),
        ("mochi", {"guidance_interval": (0, 0.5), "guidance_scale": 1.0}, "guidance_scale=1"),
        ("mochi", {"guidance_interval": (0.2, 0.5), "guidance_outside": "reuse"}, "begin at 0"),
        ("mochi", {"guidance_outside": "reuse"}, "without guidance_interval"),
        ("mochi", {"guidance_interval": (0, 0.5), "gpus": 2}, "one GPU"),
        ("hunyuan", {"guidance_interval": (0, 0.5)}, "no effect on HunyuanVideo"),
    ],
)
def test_what_has_no_effect_is_refused(models, family, options, said):
    with pytest.raises(RequestError, match=said):
        clip(models, family, steps=2, **options)
