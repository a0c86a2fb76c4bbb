"""CogVideoX through the generator's door, on tiny random models of each published layout."""

import json
import shutil

import numpy as np
import pytest

from tests.generators import tiny_cogvideox as tiny
from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import JobCancelled, RequestError, ResourceError, UnknownName, UnsupportedTask
from vitascope.generators import for_model
from vitascope.generators.cogvideox import CogVideoX
from vitascope.task import ImageToVideo, TextToVideo, VideoToVideo

NOISE = np.random.default_rng(0).integers(0, 255, (33, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def engine():
    return Engine(Placement(device="cpu"), capacity=8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        variant: tiny.save(tmp_path_factory.mktemp("models") / variant, variant) for variant in tiny.VARIANTS
    }


@pytest.fixture
def make(engine, folders):
    """Make clips with a tiny model: make("2b", task, ..., num_inference_steps=3)."""

    def make(variant, *tasks, context=None, **knobs):
        generator = for_model(str(folders[variant]), **{"num_inference_steps": 3, **knobs})
        tasks = [generator.complete(task) for task in tasks]
        return generator.generate(tasks, engine.modules(generator), context or Context())

    return make


def asked(variant, **fields):
    fields = {"prompt": "a red ball", **fields}
    return ImageToVideo(image=Image(NOISE[0]), **fields) if variant.endswith("i2v") else TextToVideo(**fields)


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_each_layout_makes_the_frames_that_were_asked_for(make, variant):
    lengths = (9,) if variant == "5b-i2v" else (1, 9, 17, 25)
    for num_frames in lengths:
        (clip,) = make(variant, asked(variant, num_frames=num_frames))
        assert (clip.num_frames, clip.width, clip.height) == (num_frames, 32, 32)


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_prompts_and_seeds_show_and_the_same_request_is_the_same_clip(make, variant):
    first, again, seed, prompt = (
        make(variant, asked(variant, **changes))[0].array()
        for changes in ({}, {}, {"seed": 1}, {"prompt": "a blue fish"})
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, seed)
    assert not np.array_equal(first, prompt)


@pytest.mark.parametrize("variant", ["5b-i2v", "1.5-i2v"])
def test_the_picture_shows(make, variant):
    dark = ImageToVideo(prompt="a red ball", image=Image(np.zeros((32, 32, 3), np.uint8)))
    assert not np.array_equal(make(variant, asked(variant))[0].array(), make(variant, dark)[0].array())


def test_size_frames_and_rate_may_be_chosen(make):
    (clip,) = make("5b", asked("5b", width=48, height=16, num_frames=17, fps=12))
    assert (clip.width, clip.height, clip.num_frames, clip.fps) == (48, 16, 17, 12)


@pytest.mark.parametrize("variant", ["2b", "5b"])
def test_a_clip_is_made_again(make, variant):
    given = Clip(NOISE[:17], 10)
    tasks = [VideoToVideo(prompt="a red ball", video=given, strength=strength) for strength in (0.4, 1.0)]
    little, much = (make(variant, task, num_inference_steps=5)[0] for task in tasks)
    assert (little.num_frames, little.fps) == (17, 10)
    assert not np.array_equal(little.array(), much.array())


def test_the_later_model_makes_8k_frames_from_a_clip(make):
    for num_frames in (8, 16, 24):
        (clip,) = make("1.5", VideoToVideo(prompt="a red ball", video=Clip(NOISE[:num_frames], 8)))
        assert clip.num_frames == num_frames
    two = [VideoToVideo(prompt="a red ball", video=Clip(NOISE[:8], 8))] * 2
    with pytest.raises(UnsupportedTask, match="one at a time"):
        make("1.5", *two)


@pytest.mark.parametrize(
    ("variant", "fields", "said"),
    [
        ("2b", {"num_frames": 13}, r"num_frames=13.*8k\+1.*9 or 17"),
        ("2b", {"num_frames": 16}, r"nearest: 17"),
        ("1.5", {"num_frames": 49}, r"up to 33; nearest: 33"),
        ("2b", {"width": 40}, r"width=40.*multiples of 16.*32 or 48"),
        ("2b", {"height": 4000}, r"height=4000.*nearest: 128"),
        ("1.5", {"width": 48}, r"up to 32; nearest: 32"),
        ("5b-i2v", {"width": 48}, r"32x32 alone"),
        ("5b-i2v", {"num_frames": 17}, r"9 frames alone"),
    ],
)
def test_what_cannot_be_decoded_is_refused_before_loading(folders, variant, fields, said):
    with pytest.raises(UnsupportedTask, match=said) as refusal:
        for_model(str(folders[variant])).complete(asked(variant, **fields))
    assert refusal.value.param in fields


def test_other_refusals(folders):
    text, image = for_model(str(folders["2b"])), for_model(str(folders["5b-i2v"]))
    with pytest.raises(UnsupportedTask, match="not image-to-video"):
        text.complete(asked("5b-i2v"))
    with pytest.raises(UnsupportedTask, match="not text-to-video"):
        image.complete(asked("2b"))
    short = VideoToVideo(prompt="a", video=Clip(NOISE[:12], 8))
    with pytest.raises(UnsupportedTask, match=r"nearest: 9.*has 12"):
        text.complete(short)
    weak = VideoToVideo(prompt="a", video=Clip(NOISE[:9], 8), strength=0.01)
    with pytest.raises(UnsupportedTask, match="leaves none"):
        text.complete(weak)
    with pytest.raises(UnknownName, match=r"'dpm\+\+'"):
        for_model(str(folders["2b"]), scheduler="dpm+++").complete(asked("2b"))
    with pytest.raises(RequestError, match="num_inference_steps"):
        for_model(str(folders["2b"]), num_inference_steps=0)


@pytest.mark.parametrize(
    ("model", "size", "num_frames", "fps"),
    [
        ("cogvideox-2b", (720, 480), 49, 8),
        ("THUDM/CogVideoX-5b", (720, 480), 49, 8),
        ("zai-org/CogVideoX1.5-5B", (1360, 768), 81, 16),
    ],
)
def test_published_models_have_their_authors_defaults_without_a_download(model, size, num_frames, fps):
    task = for_model(model).complete(TextToVideo(prompt="a star"))
    assert ((task.width, task.height), task.num_frames, task.fps) == (size, num_frames, fps)


def test_schedulers_differ_and_repeat(make):
    clips = {
        name: [make("2b", asked("2b"), scheduler=name)[0].array() for _ in range(2)]
        for name in (None, *CogVideoX.schedulers)
    }
    assert all(np.array_equal(first, again) for first, again in clips.values())
    assert np.array_equal(clips[None][0], clips["ddim"][0])
    others = [first for name, (first, _) in clips.items() if name is not None]
    assert all(not np.array_equal(a, b) for i, a in enumerate(others) for b in others[:i])


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_borrowed_schedulers_follow_the_shifted_noise_schedule(folders, shift):
    from vitascope.engine.pipelines import LoadedPipeline, load

    where = CogVideoX.pipeline_for["text-to-video"]
    pipeline = load(where, folders["2b"], Placement(device="cpu", dtype="float32"))
    pipeline.scheduler = tiny.scheduler(snr_shift_scale=shift)
    modules = LoadedPipeline(pipeline, Placement(device="cpu", dtype="float32"), "")
    own = modules.new_original_scheduler().alphas_cumprod
    for name in ("dpm++", "sde-dpm++", "unipc"):
        borrowed = for_model("cogvideox-2b").new_scheduler(modules, name).alphas_cumprod
        assert np.allclose(borrowed[:-1], own[:-1], rtol=1e-4, atol=1e-6)


def test_guidance_negative_prompt_and_dynamic_guidance_change_the_clip(make):
    plain = make("2b", asked("2b"))[0].array()
    for changed in (
        make("2b", asked("2b"), guidance_scale=1.0),
        make("2b", asked("2b"), use_dynamic_cfg=True),
        make("2b", asked("2b", negative_prompt="a blue fish")),
    ):
        assert not np.array_equal(plain, changed[0].array())


def test_a_batch_gives_each_task_its_own_seed_and_says_so(make):
    tasks = [
        asked("2b", seed=seed, prompt=prompt) for seed, prompt in ((1, "a red ball"), (2, "a blue fish"))
    ]
    batch = make("2b", *tasks)
    alone = [make("2b", task)[0] for task in tasks]
    for index, (together, single) in enumerate(zip(batch, alone, strict=True)):
        assert np.abs(together.array().astype(int) - single.array()).max() <= 1
        assert together.recipe.stages[0].notes["batch"] == {"size": 2, "index": index}
        assert "batch" not in single.recipe.stages[0].notes
    with pytest.raises(UnsupportedTask, match="one batch"):
        make("2b", asked("2b"), asked("2b", num_frames=17))


def test_progress_is_told_each_step_and_cancelling_stops_between_steps(make):
    heard = []
    make("2b", asked("2b"), context=Context(on_progress=heard.append), num_inference_steps=4)
    denoise = [(told.step, told.total) for told in heard if told.stage == "denoise"]
    assert denoise == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [(told.stage, told.step) for told in heard][-2:] == [("decode", 0), ("decode", 1)]

    heard.clear()
    weak = VideoToVideo(prompt="a red ball", video=Clip(NOISE[:9], 8), strength=0.5)
    make("2b", weak, context=Context(on_progress=heard.append), num_inference_steps=4)
    assert [(told.step, told.total) for told in heard if told.stage == "denoise"] == [(1, 2), (2, 2)]

    stopped = []

    def stop_after_two(told):
        stopped.append(told.step)
        if told.step == 2:
            context.cancel.set()

    context = Context(on_progress=stop_after_two)
    with pytest.raises(JobCancelled):
        make("2b", asked("2b"), context=context, num_inference_steps=50)
    assert stopped == [1, 2]


def test_what_a_long_prompt_loses_is_named(make):
    context = Context()
    make("2b", asked("2b", prompt="a red ball moving to the left right up " + "star " * 6), context=context)
    assert any("16 tokens" in line and "reads 12" in line and "star" in line for line in context.warnings)


def test_a_picture_of_another_shape_is_cut_and_never_stretched(make):
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255
    context = Context()
    task = ImageToVideo(prompt="a red ball", image=Image(wide))
    (clip,) = make("1.5-i2v", task, context=context)
    assert any("letterbox" in line for line in context.warnings)
    middle = ImageToVideo(prompt="a red ball", image=Image(np.full((32, 32, 3), 255, np.uint8)))
    assert np.array_equal(clip.array(), make("1.5-i2v", middle)[0].array())


def test_the_recipe_makes_the_clip_again(make, folders):
    (clip,) = make("2b", asked("2b", seed=7), guidance_scale=3.0)
    (stage,) = clip.recipe.stages
    assert stage.knobs["num_inference_steps"] == 3
    assert stage.knobs["max_sequence_length"] == 12
    assert stage.notes["num_denoiser_calls"] == 3
    assert len(stage.notes["weights"]) == 16
    assert clip.recipe.environment["diffusers"]
    knobs = dict(stage.knobs)
    model = knobs.pop("model")
    assert model == str(folders["2b"])
    knobs["loras"] = tuple(knobs["loras"])
    fields = {key: value for key, value in stage.task.items() if key != "kind"}
    assert np.array_equal(make("2b", TextToVideo.of(**fields), **knobs)[0].array(), clip.array())


def test_the_models_own_file_of_defaults_is_honoured(tmp_path):
    folder = tiny.save(tmp_path / "model")
    (folder / "vitascope.json").write_text('{"num_inference_steps": 2, "fps": 12, "width": 48}')
    generator = for_model(str(folder))
    task = generator.complete(TextToVideo(prompt="a star"))
    assert (task.width, task.fps) == (48, 12)
    assert generator.filled_in(generator.profile()).num_inference_steps == 2
    (folder / "vitascope.json").write_text('{"num_inference_stairs": 2}')
    with pytest.raises(RequestError, match=r"vitascope.json.*num_inference_stairs"):
        generator.complete(TextToVideo(prompt="a star"))


def test_a_tokenizer_as_published_is_read(folders, tmp_path):
    """The published models hold a SentencePiece model alone, and no tokenizer.json."""
    import sentencepiece

    folder = shutil.copytree(folders["2b"], tmp_path / "model")
    shutil.rmtree(folder / "tokenizer")
    (folder / "tokenizer").mkdir()
    (tmp_path / "words.txt").write_text("a red ball moves to the left\na blue fish swims in the sea\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "words.txt"),
        model_prefix=str(folder / "tokenizer" / "spiece"),
        vocab_size=24,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 226, "pad_token": "<pad>"}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    index = json.loads((folder / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5Tokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    tokenizer = for_model(str(folder)).load(Placement(device="cpu").resolve()).pipeline.tokenizer
    assert tokenizer("a red ball").input_ids != tokenizer("a blue fish").input_ids


def test_guidance_that_reads_no_negative_prompt_says_so(make):
    context = Context()
    make("2b", asked("2b", negative_prompt="a blue fish"), context=context, guidance_scale=1.0)
    assert any("negative prompt" in line for line in context.warnings)


def test_text_is_as_long_as_a_network_with_places_for_it_wants(make):
    with pytest.raises(RequestError, match=r"max_sequence_length=4: .* tokens, no more and no fewer"):
        make("2b", asked("2b"), max_sequence_length=4)
    assert make("5b", asked("5b"), max_sequence_length=4), "places that turn take any length"


def test_tiling_and_slicing_run(folders):
    placement = Placement(device="cpu", vae_tiling=True, vae_slicing=True).resolve()
    generator = for_model(str(folders["2b"]), num_inference_steps=2)
    modules = generator.load(placement)
    assert modules.pipeline.vae.use_tiling
    assert modules.pipeline.vae.use_slicing
    (clip,) = generator.generate([generator.complete(asked("2b"))], modules, Context())
    assert clip.num_frames == 9
    with pytest.raises(RequestError, match="needs a GPU"):
        generator.load(Placement(device="cpu", offload="model").resolve())


def made_at(folder, steps, **placed):
    generator = for_model(str(folder), num_inference_steps=steps)
    context = Context()
    modules = Engine(Placement(device="cpu", **placed)).modules(generator)
    (clip,) = generator.generate([generator.complete(asked("5b"))], modules, context)
    return clip, " ".join(context.warnings), clip.recipe.stages[-1].notes


def test_speed_words_on_a_cpu_do_what_they_can_and_say_the_rest(folders):
    exact, said, notes = made_at(folders["5b"], 16)
    assert not said and "levers" not in notes and notes["num_denoiser_calls"] == 16
    balanced, said, notes = made_at(folders["5b"], 16, speed="balanced")
    assert np.array_equal(balanced.array(), exact.array())
    assert "fp8 linears need a CUDA GPU" in said and "cpu" in notes["levers"]["fallbacks"][0]
    turbo, said, notes = made_at(folders["5b"], 16, speed="turbo")
    assert notes["num_denoiser_calls"] == 11 and "fp8" in said
    assert not np.array_equal(turbo.array(), exact.array())
    _, said, notes = made_at(folders["5b"], 8, speed="turbo")
    assert notes["num_denoiser_calls"] == 8 and "too few to skip" in said


def test_a_streamed_clip_equals_the_plain_one(folders):
    plain, _, _ = made_at(folders["5b"], 3)
    streamed, _, notes = made_at(folders["5b"], 3, vae_streaming=True)
    assert np.array_equal(streamed.array(), plain.array()) and notes["levers"] == {"vae": "stream"}


def test_an_expert_switch_that_this_machine_cannot_have_is_an_error(folders):
    with pytest.raises(ResourceError, match="fp8"):
        made_at(folders["5b"], 3, quantize="fp8")
