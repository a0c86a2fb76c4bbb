"""VBench's dimensions: its rules on made-up finds, and the networks' classes with tiny random weights."""

import json

import numpy as np
import pytest
import torch

from tests.metrics.pictures import panning, still
from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.metrics import METRICS, measure
from vitascope.metrics._detection import Found, named
from vitascope.metrics._raft import stands_still
from vitascope.metrics._sampled import middle_samples

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}


class Flow(torch.nn.Module):
    """In place of RAFT: a flow that is known."""

    def __init__(self, speeds):
        super().__init__()
        self.weight, self.speeds = torch.nn.Parameter(torch.zeros(1)), iter(speeds)

    def forward(self, first, second, num_iterations):
        assert num_iterations == 20 and first.shape == second.shape
        return torch.full((1, 2, *first.shape[-2:]), next(self.speeds) / 2**0.5)


@pytest.mark.parametrize(
    "fps, num_frames, speeds, moves",
    [
        (8, 16, [2.5] * 4 + [0] * 11, 1.0),  # 96 pixels: faster than 2.25, and 4 of 16 frames are enough
        (8, 16, [2.5] * 3 + [2.2] * 12, 0.0),
        (24, 48, [2.5] * 4 + [0] * 11, 1.0),  # every third frame
        (8, 2, [0.0], 1.0),  # the benchmark's count rounds to none
    ],
)
def test_dynamic_degree_counts_as_the_benchmark_does(fps, num_frames, speeds, moves):
    clip = Clip(np.zeros((num_frames, 96, 128, 3), np.uint8), fps)
    assert METRICS["dynamic-degree"]().score(clip, modules=Flow(speeds)).value == moves


def test_a_clip_stands_still_by_its_pairs_and_by_its_ends():
    side = 256  # threshold 3, two of sixteen frames may be faster
    assert stands_still([4, 4, *[0] * 13], (0, 0), 16, side)
    assert not stands_still([4, 4, 4, *[0] * 12], (0, 0), 16, side)
    assert stands_still([0] * 15, (12, 12), 16, side) and not stands_still([0] * 15, (0, 12.1), 16, side)
    assert stands_still([4 * 0.4, *[0] * 14], (0, 0), 16, 102)


def test_flicker_is_measured_only_where_the_clip_stands_still():
    plain = METRICS["temporal-flickering"]()
    by_raft, by_dis = METRICS["temporal-flickering-static"](), METRICS["temporal-flickering-static-dis"]()
    quiet = still(9)
    for score in (by_raft.score(quiet, modules=Flow([0] * 10)), by_dis.score(quiet)):
        assert score.value == plain.score(quiet).value
    for score in (by_raft.score(quiet, modules=Flow([9] * 10)), by_dis.score(panning(9, step=4))):
        assert score.value is None and "the clip moves" in score.not_measured


def test_frames_come_from_the_middle_of_equal_stretches():
    clip = Clip(np.arange(49, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8), 8)
    assert middle_samples(clip, 8)[:, 0, 0, 0].tolist() == [2, 8, 14, 20, 26, 32, 38, 45]
    assert middle_samples(Clip(clip.frames[:3], 8), 5)[:, 0, 0, 0].tolist() == [0, 1, 2, 2, 2]


def found(name, box=(0, 0, 1, 1), score=0.9):
    return Found(named(name), score, np.array(box, float))


def judged(name, frames, **knobs):
    return METRICS[name](**knobs).judge(frames)


def test_objects_must_be_there_in_each_frame():
    frames = [[found("bird")], [found("bird"), found("cat")], [], [found("cat"), found("bird"), found("cat")]]
    assert judged("multiple-objects-owl", frames, objects="bird and cat") == 0.5
    assert judged("object-class-owl", frames, object_class="bird") == 0.75


def test_colour_counts_among_frames_that_show_the_thing():
    frames = [[found("red car"), found("blue car")], [], [found("blue car")], [found("red car")]]
    knobs = {"colour": "red", "colour_of": "car"}
    assert judged("color-owl", frames, **knobs) == pytest.approx(2 / 3)
    assert "no frame shows 'car'" in judged("color-owl", [[], []], **knobs)
    grey = METRICS["color-owl"](colour="grey", colour_of="car")
    assert named("gray car") in grey.names() and grey.judge([[found("gray car")]]) == 1


def test_places_are_judged_by_axis_and_overlap():
    knobs = {"object_a": "cup", "object_b": "dog"}
    apart, touching = ((0, 0, 10, 10), (20, 3, 30, 13)), ((0, 0, 10, 10), (5, 0, 15, 10))
    beside = [[found("cup", apart[0]), found("dog", apart[1])]]
    overlapping = [[found("cup", touching[0]), found("dog", touching[1])]]
    assert judged("spatial-relationship-owl", beside, relation="on the left of", **knobs) == 1
    assert judged("spatial-relationship-owl", beside, relation="on the top of", **knobs) == 0
    overlap = 50 / 150
    left = judged("spatial-relationship-owl", overlapping, relation="on the right of", **knobs)
    assert left == pytest.approx(0.1 / overlap)
    assert judged("spatial-relationship-owl", [[], *beside], relation="on the left of", **knobs) == 0.5


def tokenizer_files(folder, name="CLIPTokenizer"):
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = ["!", *letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, "pad_token": "!"}))
    return len(words)


@pytest.fixture(scope="module")
def owl(tmp_path_factory):
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    folder = tmp_path_factory.mktemp("owl")
    size = tokenizer_files(folder)
    torch.manual_seed(0)
    text = {
        **SMALL,
        "vocab_size": size,
        "max_position_embeddings": 16,
        "eos_token_id": size - 1,
        "pad_token_id": 0,
    }
    vision = {**SMALL, "image_size": 64, "patch_size": 16}
    config = Owlv2Config(text_config=text, vision_config=vision, projection_dim=32)
    Owlv2ForObjectDetection(config).eval().save_pretrained(folder)
    return str(folder)


def test_the_detector_finds_by_name_and_gives_boxes_in_pixels(owl):
    metric = METRICS["object-class-owl"](weights=owl, object_class="cat", min_score=0.001)
    detector = metric.load(Placement())
    frame = panning(2).frames[0]
    things = detector.find(frame, ["a cat", "a dog"], 1e-6)
    assert len(things) == 16, "one a patch"
    assert [t.score for t in things] == sorted((t.score for t in things), reverse=True)
    assert {t.name for t in things} <= {"a cat", "a dog"}
    centres = np.array([(t.box[:2] + t.box[2:]) / 2 for t in things])
    assert centres.max() <= max(frame.shape[:2]) and np.ptp(centres) > 10
    assert metric.score(panning(4)).value in (0.0, 1.0)


@pytest.fixture(scope="module")
def videomae(tmp_path_factory):
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    folder = tmp_path_factory.mktemp("videomae")
    torch.manual_seed(0)
    labels = {0: "Riding a bike", 1: "juggling balls"}
    config = VideoMAEConfig(**SMALL, patch_size=112, num_frames=16, id2label=labels)
    network = VideoMAEForVideoClassification(config)
    network.classifier.bias.data = torch.tensor([9.0, -9.0])
    network.save_pretrained(folder)
    return str(folder)


def test_an_action_counts_if_it_is_likely_and_sure(videomae):
    metric = METRICS["human-action-videomae"]
    clip = panning(20)
    assert metric(weights=videomae, prompt="A person is riding a bike").score(clip).value == 1.0
    assert metric(weights=videomae, action="juggling balls").score(clip).value == 0.0
    unknown = metric(weights=videomae, action="filing taxes").score(clip)
    assert unknown.value is None and "no action of Kinetics-400" in unknown.not_measured


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration

    folder = tmp_path_factory.mktemp("blip")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "train", "station", "alley"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    special = {"bos_token_id": 4, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3}
    text = {**SMALL, "vocab_size": 8, "encoder_hidden_size": 32, "max_position_embeddings": 64, **special}
    vision = {**SMALL, "image_size": 32, "patch_size": 16}
    BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    return str(folder)


def test_captions_are_made_and_searched_for_the_scene(blip):
    from vitascope.metrics.scene_blip import shows

    assert shows("Train Station", "a trainee at the stations") and not shows("train station", "a train")
    score = METRICS["scene-blip"](weights=blip, scene="alley").score(panning(4))
    assert 0 <= score.value <= 1
    assert "no scene" in METRICS["scene-blip"](weights=blip).score(panning(4)).not_measured


def test_viclip_is_the_cosine_of_eight_frames_and_the_prompt(tmp_path):
    from transformers import AutoTokenizer

    from vitascope.metrics._embedding import prepared
    from vitascope.metrics._viclip import ViClipModules
    from vitascope.models.viclip.network import ViClip, ViClipSizes

    size = tokenizer_files(tmp_path)
    torch.manual_seed(0)
    sizes = ViClipSizes(patch=56, width=32, heads=4, layers=1, text_width=32, text_heads=4, text_layers=1)
    network = ViClip(sizes.__class__(**{**vars(sizes), "vocabulary": size, "embedding": 16})).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path))
    modules, clip = ViClipModules(network, tokenizer), panning(20)
    values = [
        METRICS[name](prompt="A Red Star").score(clip, modules=modules).value
        for name in ("overall-consistency", "temporal-style")
    ]
    with torch.inference_mode():
        video = network.video(prepared(middle_samples(clip, 8), "clip")[None])[0]
        text = network.text(torch.tensor([tokenizer("a red star")["input_ids"]]))[0]
    assert values == pytest.approx([float(video @ text)] * 2, abs=1e-6)
    assert METRICS["overall-consistency"](prompt="a moon").score(clip, modules=modules).value not in values


def test_pictures_nearer_to_good_than_to_bad_score_over_one_half():
    class Poles:
        def text(self, words):
            return torch.tensor([1.0, 0.0] if words == "Good photo." else [0.0, 1.0])

        def frames(self, clip):
            return torch.tensor([[0.02, 0.0], [0.0, 0.02]])

    score = METRICS["imaging-quality-clipiqa"]().score(panning(2), modules=Poles())
    good = float(torch.tensor([2.0, 0.0]).softmax(0)[0])
    assert score.value == pytest.approx((good + 1 - good) / 2)


@pytest.mark.parametrize(
    "size, seen", [((96, 128), (96, 128)), ((577, 1023), (288, 512)), ((1, 1100), (1, 512))]
)
def test_imaging_quality_is_the_mean_over_frames_of_512_pixels_at_most(size, seen):
    class Brightness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pictures):
            assert pictures.shape == (1, 3, *seen)
            return 100 * pictures.mean((1, 2, 3))

    clip = Clip(np.full((3, *size, 3), [[[[51]]], [[[102]]], [[[255]]]], np.uint8), 8)
    score = METRICS["imaging-quality"]().score(clip, modules=Brightness())
    assert score.value == pytest.approx((0.2 + 0.4 + 1) / 3)


def test_motion_smoothness_cuts_the_frame_between_down_to_whole_levels():
    class Between(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, first, last):
            return (first + last) / 2 + 0.9 / 255

    frames = np.arange(0, 60, 10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 113, 120, 3), np.uint8)
    metric = METRICS["motion-smoothness"]()
    assert metric.score(Clip(frames, 8), modules=Between()).value == 1
    frames[3] += 51
    frames[5] = 200  # no frame comes after it
    assert metric.score(Clip(frames, 8), modules=Between()).value == pytest.approx(1 - 51 / 255 / 2)
    small = metric.score(Clip(frames[:, :112], 8), modules=Between())
    assert small.value is None and "120 x 112" in small.not_measured


def test_rife_tells_the_frame_between():
    class Between:
        def between(self, first, second, times):
            return [((first.astype(int) + second) // 2).astype(np.uint8)]

    clip = Clip(
        np.arange(0, 90, 10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8), 8
    )
    metric = METRICS["motion-smoothness-rife"]()
    assert metric.score(clip, modules=Between()).value == 1
    frames = clip.frames.copy()
    frames[1] += 51
    assert metric.score(Clip(frames, 8), modules=Between()).value == pytest.approx(1 - 51 / 255 / 4)


def test_without_weights_each_names_its_file():
    names = {
        "dynamic-degree": "raft-things.pth",
        "temporal-flickering-static": "raft-things.pth",
        "overall-consistency": "ViClip-InternVid-10M-FLT.pth",
        "object-class-owl": "google/owlv2-base-patch16-ensemble",
        "human-action-videomae": "MCG-NJU/videomae-large-finetuned-kinetics",
        "scene-blip": "Salesforce/blip-image-captioning-base",
        "motion-smoothness": "amt-s.pth",
        "imaging-quality": "musiq_spaq_ckpt-358bb6af.pth",
        "imaging-quality-clipiqa": "openai/clip-vit-base-patch32",
    }
    about = {"object-class-owl": {"object_class": "cat"}, "scene-blip": {"scene": "alley"}}
    metrics = [METRICS[name](**about.get(name, {})) for name in names]
    for score, file in zip(measure(panning(4), metrics), names.values(), strict=True):
        assert score.value is None and file in score.not_measured, score
