"""What is written is read back: frames, rate, length, sound, recipe."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from sample_clips import numbered_frames, read_number, tone

from vitascope.clip import Clip
from vitascope.errors import NotFound, RequestError
from vitascope.media import probe, read, read_recipe, write
from vitascope.recipe import Recipe

VIDEOS = [".mp4", ".mov", ".mkv", ".webm"]
MOVING = [*VIDEOS, ".gif", ""]


def psnr(one, other):
    error = np.mean((one.astype(float) - other) ** 2)
    return 99 if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("suffix", MOVING)
def test_frames_rate_and_recipe_survive(tmp_path, clip, suffix):
    path = clip.save(tmp_path / f"clip{suffix}")
    back = read(path)
    assert back.frames.shape == clip.frames.shape
    assert back.fps == clip.fps
    assert [read_number(frame) for frame in back.array()] == list(range(17))
    assert psnr(back.array(), clip.array()) > 28
    assert back.recipe == clip.recipe
    assert read_recipe(path) == clip.recipe


@pytest.mark.parametrize("suffix", MOVING)
@pytest.mark.parametrize("fps", [Fraction(8), Fraction(24000, 1001), Fraction(30), Fraction(22, 3)])
def test_any_rate_survives(tmp_path, suffix, fps):
    path = write(Clip(numbered_frames(31, 16, 24), fps), tmp_path / f"clip{suffix}")
    back = read(path)
    assert (back.fps, back.num_frames) == (fps, 31)
    assert probe(path).fps == fps
    assert not probe(path).is_variable_rate


@pytest.mark.parametrize("suffix", MOVING)
def test_colours_survive(tmp_path, suffix):
    colours = np.array(
        [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128], [30, 60, 200]],
        np.uint8,
    )
    frame = np.repeat(np.repeat(colours[None], 32, 0), 16, 1)
    back = read(write(Clip(np.repeat(frame[None], 3, 0), 8), tmp_path / f"clip{suffix}")).array()
    assert np.abs(back[:, 16, 8::16].astype(int) - colours).max() <= 3


@pytest.mark.parametrize("suffix", VIDEOS)
def test_odd_sizes_get_a_copy_of_the_last_row_and_column_and_say_so(tmp_path, suffix, clip):
    odd = replace(clip, frames=numbered_frames(5, 31, 47))
    path = odd.save(tmp_path / f"clip{suffix}")
    back = read(path)
    assert (back.width, back.height) == (48, 32)
    assert psnr(back.array()[:, :31, :47], odd.array()) > 28
    assert psnr(back.array()[:, 31], back.array()[:, 30]) > 28
    notes = back.recipe.stages[-1].notes["written"]
    assert notes["padded"] == {"bottom": 1, "right": 1, "from": [47, 31]}


@pytest.mark.parametrize("suffix", [".gif", ""])
def test_formats_without_shared_chroma_keep_odd_sizes(tmp_path, suffix):
    back = read(write(Clip(numbered_frames(3, 31, 47), 8), tmp_path / f"clip{suffix}"))
    assert (back.width, back.height) == (47, 31)


@pytest.mark.parametrize("suffix", VIDEOS)
def test_one_pixel_is_a_clip(tmp_path, suffix):
    back = read(write(Clip(np.full((2, 1, 1, 3), 200, np.uint8), 8), tmp_path / f"clip{suffix}"))
    assert back.frames.shape == (2, 2, 2, 3)
    assert np.abs(back.array().astype(int) - 200).max() < 8


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (22050, 2), (96000, 1), (48000, 6)])
def test_sound_survives_in_time(tmp_path, clip, suffix, rate, channels):
    sound = tone(1.0, rate, channels, click_at_s=0.5)
    silent = replace(clip, frames=numbered_frames(24))
    back = read(write(replace(silent, audio=sound), tmp_path / f"clip{suffix}"))
    assert back.audio.samples.dtype == np.float32
    assert len(back.audio.samples) == channels
    assert back.audio.samples.shape[1] / back.audio.sample_rate == pytest.approx(1.0, abs=0.03)
    if channels < 6:
        loudest = np.argmax(np.abs(back.audio.samples[0])) / back.audio.sample_rate
        assert loudest == pytest.approx(0.5, abs=0.012)
    assert back.recipe == clip.recipe


def test_sound_that_outlasts_the_frames_is_cut_and_said(tmp_path, clip):
    path = replace(clip, audio=tone(3.0)).save(tmp_path / "clip.mp4")
    back = read(path)
    assert back.audio.samples.shape[1] / 48000 == pytest.approx(17 / 24, abs=0.03)
    assert back.recipe.stages[-1].notes["written"]["sound_cut_s"] == pytest.approx(3 - 17 / 24, abs=1e-3)


@pytest.mark.parametrize("suffix", [".gif", ""])
def test_formats_without_sound_say_so(tmp_path, clip, suffix):
    path = replace(clip, audio=tone(1.0)).save(tmp_path / f"clip{suffix}")
    assert read_recipe(path).stages[-1].notes["written"]["sound"] == "left out"
    assert read(path).audio is None


def test_a_still_png_keeps_frame_rate_and_recipe_exactly(tmp_path, recipe):
    still = Clip(numbered_frames(1), 12, recipe=recipe)
    back = read(still.save(tmp_path / "still.png"))
    assert np.array_equal(back.array(), still.array())
    assert (back.fps, back.recipe) == (12, recipe)


def test_a_still_png_refuses_a_moving_clip(tmp_path, clip):
    with pytest.raises(RequestError, match="17"):
        clip.save(tmp_path / "clip.png")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_png_is_lossless_and_counts_as_people_do(tmp_path, clip):
    path = clip.save(tmp_path / "frames")
    assert np.array_equal(read(path).array(), clip.array())
    assert Recipe.model_validate_json((path / "recipe.json").read_text()) == clip.recipe
    assert json.loads((path / "clip.json").read_text()) == {"fps": "24"}


def test_gifs_faster_than_browsers_play_are_resampled_and_say_so(tmp_path):
    path = write(Clip(numbered_frames(60), 60), tmp_path / "fast.gif")
    back = read(path)
    assert (back.fps, back.num_frames) == (50, 50)
    assert back.recipe.stages[-1].notes["written"]["resampled"]["from"] == "60"


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".png", ""])
def test_recipes_of_any_size_and_script_survive(tmp_path, recipe, suffix):
    stage = recipe.stages[0].model_copy(
        update={"task": {"prompt": "字" * 400_000, "odd": "\\ ; = # \u2028 %"}}
    )
    long = Recipe().then(stage)
    path = Clip(numbered_frames(1), 8, recipe=long).save(tmp_path / f"clip{suffix}")
    assert read_recipe(path) == long


def test_files_of_others_have_no_recipe_but_a_stage(tmp_path, clip):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height = 48, 32
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clip.array()[0])))
        container.mux(stream.encode(None))
    assert read_recipe(path) is None
    (stage,) = read(path).recipe.stages
    assert (stage.kind, stage.name, stage.notes) == ("file", "clip.mp4", {})


def test_mp4_starts_fast_and_says_its_colours(tmp_path, clip):
    data = clip.save(tmp_path / "clip.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert codec.pix_fmt == "yuv420p"
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)


def test_the_same_frames_make_the_same_file(tmp_path):
    # 7 blocks of 16 pixels wide: with macroblock trees, x264's AVX-512 code makes several files of it.
    drawn = np.random.default_rng(0)
    y, x = np.mgrid[:64, :112]
    moving = [90 + 60 * np.sin((x + 3 * at) / 9) + 40 * np.cos((y - at) / 7) for at in range(9)]
    noisy = np.stack(moving)[..., None] + drawn.integers(-6, 7, (9, 64, 112, 3))
    clip = Clip(noisy.clip(0, 255).astype(np.uint8), 8)
    files = {clip.save(tmp_path / f"{number}.mp4").read_bytes() for number in range(16)}
    assert len(files) == 1


def test_crf_trades_size_for_quality(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), np.uint8)
    sizes = [write(Clip(noise, 8), tmp_path / f"{crf}.mp4", crf=crf).stat().st_size for crf in (10, 40)]
    assert sizes[0] > 3 * sizes[1]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clip.mp3", {}, r"'\.mp3'.*\.mp4, \.mov, \.mkv, \.webm, \.gif, \.png"),
        ("clip.mp4", {"crf": 52}, "0..51"),
        ("clip.webm", {"crf": -1}, "0..63"),
        ("clip.gif", {"crf": 20}, "crf"),
    ],
)
def test_refuses_what_it_cannot_write(tmp_path, clip, name, options, message):
    with pytest.raises(RequestError, match=message):
        write(clip, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_named(tmp_path, clip):
    with pytest.raises(NotFound, match="nowhere"):
        clip.save(tmp_path / "nowhere" / "clip.mp4")


def test_clip_can_be_written_over_the_file_that_it_is_read_from(tmp_path, clip):
    path = clip.save(tmp_path / "clip.mp4")
    read(path).save(path)
    assert [read_number(frame) for frame in read(path).array()] == list(range(17))


@pytest.mark.parametrize("suffix", [*MOVING, ".png"])
def test_any_file_name_is_a_file_name(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    still = Clip(numbered_frames(1), 8)
    for name in (f"http: a%03d [x] 'é' 球{suffix}", f"-y{suffix}", f"UPPER{suffix.upper()}"):
        assert read(still.save(name)).num_frames == 1
        assert probe(name).num_frames == 1


def test_probe_tells_what_read_gives(tmp_path, clip):
    path = replace(clip, audio=tone(0.7)).save(tmp_path / "clip.webm")
    info = probe(path)
    assert (info.container, info.codec, info.width, info.height) == ("webm", "vp9", 48, 32)
    assert (info.num_frames, info.fps, info.has_audio, info.rotation) == (17, 24, True, 0)
    assert info.duration_s == pytest.approx(17 / 24)
    assert json.loads(info.model_dump_json())["fps"] == "24"


def test_the_door_opens_quickly_without_av():
    code = "import sys, vitascope.media; print('av' in sys.modules, 'PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
