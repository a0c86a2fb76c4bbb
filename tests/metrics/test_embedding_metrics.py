"""Metrics of feature vectors, on tiny random CLIP and DINO networks; the real weights are not needed."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate, normalize
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, ViTConfig, ViTModel

from tests.metrics.pictures import panning, still
from vitascope.clip import Clip, Image
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, WeightsMissing
from vitascope.media import write_image
from vitascope.metrics import METRICS, measure
from vitascope.metrics._embedding import consistency, prepared
from vitascope.recipe import Recipe, Stage

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    text = CLIPTextConfig(**SMALL, vocab_size=len(words), eos_token_id=len(words) - 1)
    vision = CLIPVisionConfig(**SMALL, image_size=224, patch_size=32)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    CLIPModel(config).eval().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(1)
    config = ViTConfig(**SMALL, image_size=224, patch_size=32)
    ViTModel(config, add_pooling_layer=False).eval().save_pretrained(folder)
    return str(folder)


def clip_features(folder, clip):
    network = CLIPModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        pooled = network.vision_model(pixel_values=prepared(clip.frames, "clip")).pooler_output
        return normalize(network.visual_projection(pooled), dim=-1)


def by_hand(features):
    """The benchmark's loop, frame by frame."""
    total = 0.0
    for t in range(1, len(features)):
        to_previous = max(0.0, float(features[t] @ features[t - 1]))
        to_first = max(0.0, float(features[t] @ features[0]))
        total += (to_previous + to_first) / 2
    return total / (len(features) - 1)


def test_background_consistency_is_the_benchmarks_loop_over_clip_features(clip_folder):
    clip = panning(6)
    score = METRICS["background-consistency"](weights=clip_folder).score(clip)
    assert score.value == pytest.approx(by_hand(clip_features(clip_folder, clip)), abs=1e-6)
    assert METRICS["background-consistency"](weights=clip_folder).score(still(3)).value == pytest.approx(1)


def test_subject_consistency_is_the_same_loop_over_uncropped_dino_features(dino_folder):
    clip = panning(4, size=(96, 160))
    assert tuple(prepared(clip.frames, "dino").shape) == (4, 3, 224, 373)
    network = ViTModel.from_pretrained(dino_folder, add_pooling_layer=False).eval()
    with torch.inference_mode():
        pixels = prepared(clip.frames, "dino")
        features = network(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]
    score = METRICS["subject-consistency"](weights=dino_folder).score(clip)
    assert score.value == pytest.approx(by_hand(normalize(features, dim=-1)), abs=1e-5)


def test_negative_likeness_counts_as_zero():
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert consistency(features) == pytest.approx(0)
    assert consistency(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])) == pytest.approx((0 + 0.5) / 2)


def test_frames_are_prepared_as_the_reference_prepares_8_bit_tensors():
    frames = panning(2, size=(448, 672)).frames
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    resized = interpolate(pixels, size=(224, 336), mode="bicubic", align_corners=False, antialias=False)
    square = resized.clamp(0, 255).round()[..., 56:280] / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    torch.testing.assert_close(prepared(frames, "clip"), (square - mean) / deviation)


def test_frame_consistency_and_text_alignment_are_mean_cosines(clip_folder):
    clip = panning(4)
    features = clip_features(clip_folder, clip)
    expected = 100 * np.mean([float(features[t] @ features[t + 1]) for t in range(3)])
    score = METRICS["clip-frame-consistency"](weights=clip_folder).score(clip)
    assert score.value == pytest.approx(expected, abs=1e-4)

    from_knob = METRICS["clip-text-alignment"](weights=clip_folder, prompt="a red star").score(clip)
    made = Recipe().then(Stage(kind="generator", name="x", task={"prompt": "a red star"}))
    from_recipe = METRICS["clip-text-alignment"](weights=clip_folder).score(Clip(clip.frames, 8, recipe=made))
    other = METRICS["clip-text-alignment"](weights=clip_folder, prompt="a blue moon").score(clip)
    style = METRICS["appearance-style"](weights=clip_folder, style="a red star").score(clip)
    assert from_knob.value == from_recipe.value != other.value
    assert style.value == pytest.approx(from_knob.value / 100, abs=1e-6)


def test_without_prompt_or_style_there_is_nothing_to_measure(clip_folder):
    for name in ("clip-text-alignment", "appearance-style"):
        score = METRICS[name](weights=clip_folder).score(panning(3))
        assert score.value is None and "given" in score.not_measured


def test_aesthetic_quality_is_the_linear_head_over_ten(clip_folder, tmp_path):
    head = tmp_path / "head.pth"
    weight, bias = torch.randn(1, 16), torch.tensor([5.0])
    torch.save({"weight": weight, "bias": bias}, head)
    clip = panning(3)
    expected = float((clip_features(clip_folder, clip) @ weight[0] + 5).mean() / 10)
    score = METRICS["aesthetic-quality"](weights=clip_folder, head=head).score(clip)
    assert score.value == pytest.approx(expected, abs=1e-5)


def test_missing_weights_are_named_with_how_to_get_them(clip_folder, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"no tensors")
    metrics = [
        METRICS["background-consistency"](),
        METRICS["subject-consistency"](weights=clip_folder + "-not-there"),
        METRICS["aesthetic-quality"](weights=clip_folder),
        METRICS["aesthetic-quality"](weights=clip_folder, head=tmp_path / "bad.pth"),
    ]
    reasons = [score.not_measured for score in measure(panning(3), metrics)]
    assert "hf download openai/clip-vit-base-patch32" in reasons[0]
    assert "not-there" in reasons[1]
    assert "sa_0_4_vit_l_14_linear.pth" in reasons[2]
    assert "is not the aesthetic predictor's head" in reasons[3]


def test_a_folder_of_another_network_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsMissing, match="does not hold such a network"):
        METRICS["background-consistency"](weights=str(tmp_path)).load(Placement())


def test_one_frame_has_no_consistency(clip_folder):
    with pytest.raises(RequestError, match="at least 2 frames"):
        METRICS["background-consistency"](weights=clip_folder).score(still(1))


def test_metrics_of_one_network_load_it_once(clip_folder, monkeypatch):
    loads = []
    original = CLIPModel.from_pretrained.__func__

    def counted(cls, *args, **options):
        loads.append(args)
        return original(cls, *args, **options)

    monkeypatch.setattr(CLIPModel, "from_pretrained", classmethod(counted))
    names = ("background-consistency", "clip-frame-consistency", "clip-text-alignment")
    measure(panning(3), [METRICS[name](weights=clip_folder) for name in names])
    assert len(loads) == 1


def test_image_subject_consistency_weighs_the_picture_the_neighbours_and_their_worst(dino_folder, tmp_path):
    clip = panning(4)
    write_image(Image(clip.frames[1]), tmp_path / "start.png")
    network = ViTModel.from_pretrained(dino_folder, add_pooling_layer=False).eval()
    with torch.inference_mode():
        hidden = network(prepared(clip.frames, "dino"), interpolate_pos_encoding=True).last_hidden_state[:, 0]
    features = normalize(hidden, dim=-1)
    neighbours = [max(0.0, float(features[t] @ features[t + 1])) for t in range(3)]
    expected = 0.4 * 1 + 0.3 * np.mean(neighbours) + 0.3 * min(neighbours)
    metric = METRICS["image-subject-consistency"]
    score = metric(weights=dino_folder, image=tmp_path / "start.png").score(clip)
    assert score.value == pytest.approx(expected, abs=1e-5)
    assert "no picture" in metric(weights=dino_folder).score(clip).not_measured
