"""Videos that other programs made: variable rates, turned frames, deep colours, transparency, late sound."""

import pickle
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image as Pillow
from sample_clips import encode, numbered_frames, read_number, tone

from vitascope.clip import Clip
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.media import probe, read, write


def numbers(clip):
    return [read_number(frame) for frame in clip.array()]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_variable_rates_become_constant_and_the_recipe_says_so(tmp_path, suffix):
    times = [0, 100, 200, 300, 1000, 1100]
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    path = encode(tmp_path / f"vfr{suffix}", numbered_frames(6), codec=codec, times=times, fps=10)
    clip = read(path)
    assert clip.fps == 10
    assert numbers(clip) == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5]
    note = clip.recipe.stages[-1].notes["resampled"]
    assert note == {"from": "variable rate", "fps": "10", "frames_repeated": 6, "frames_dropped": 0}
    assert probe(path).is_variable_rate
    assert probe(path).num_frames == 12


def test_jitter_below_half_a_frame_is_no_variable_rate(tmp_path):
    jitter = np.random.default_rng(3).integers(-12, 13, 30)
    jitter[0] = 0
    times = [int(number * 1000 / 30 + jitter[number]) for number in range(30)]
    clip = read(encode(tmp_path / "phone.mp4", numbered_frames(30), times=times, fps=30))
    assert numbers(clip) == list(range(30))
    assert float(clip.fps) == pytest.approx(30, rel=0.02)
    assert "resampled" not in clip.recipe.stages[-1].notes


def test_gif_with_a_long_last_frame(tmp_path):
    pictures = [Pillow.fromarray(frame) for frame in numbered_frames(4)]
    path = tmp_path / "pause.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 100, 100, 500])
    clip = read(path)
    assert clip.fps == 10
    assert numbers(clip) == [0, 1, 2, 3, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".webp", {"lossless": True}),
        (".avif", {"quality": 100, "subsampling": "4:4:4"}),
        (".png", {"disposal": 2}),
        (".gif", {"disposal": 2}),
    ],
)
def test_animated_pictures_move_and_transparency_is_over_black(tmp_path, suffix, options):
    frames = np.full((5, 24, 32, 4), (255, 255, 255, 0), np.uint8)
    for number in range(5):
        frames[number, 4:20, 4 + 4 * number : 12 + 4 * number] = (250, 40, 200, 255)
    pictures = [Pillow.fromarray(frame) for frame in frames]
    path = tmp_path / f"moving{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, **options)
    clip = read(path)
    assert (clip.num_frames, clip.fps) == (5, 10)
    for got, wanted in zip(clip.array(), frames, strict=True):
        assert np.abs(got.astype(int) - wanted[..., :3] * (wanted[..., 3:] // 255)).max() <= 8
    assert clip.mask is None
    assert clip.recipe.stages[-1].notes["alpha"] == "over black"
    assert np.array_equal(clip.frames[3:5], clip.array()[3:5])


@pytest.mark.parametrize(
    ("degrees", "mirrored", "turned"),
    [
        (90, False, lambda a: np.rot90(a, 1)),
        (180, False, lambda a: np.rot90(a, 2)),
        (-90, False, lambda a: np.rot90(a, -1)),
        (0, True, lambda a: a[:, ::-1]),
    ],
)
def test_turned_frames_come_upright(tmp_path, degrees, mirrored, turned):
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:16, :32], frame[:16, 32:], frame[16:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = encode(
        tmp_path / "phone.mp4",
        np.repeat(frame[None], 3, 0),
        prepare=lambda stream: stream.set_display_rotation(degrees, hflip=mirrored),
    )
    clip = read(path)
    wanted = turned(frame)
    assert clip.frames.shape[1:] == wanted.shape
    assert np.abs(clip.array()[1].astype(int) - wanted).mean() < 4
    info = probe(path)
    assert (info.width, info.height) == (wanted.shape[1], wanted.shape[0])
    assert info.rotation == (-degrees) % 360


def test_a_turn_that_is_no_quarter_is_refused(tmp_path):
    path = encode(
        tmp_path / "x.mp4", numbered_frames(2), prepare=lambda stream: stream.set_display_rotation(30)
    )
    with pytest.raises(InvalidMedia, match="quarter"):
        read(path)


def test_ten_bits_become_eight(tmp_path):
    path = encode(tmp_path / "deep.mkv", numbered_frames(6), pix_fmt="yuv420p10le")
    assert numbers(read(path)) == list(range(6))


def test_hdr_is_brought_to_srgb(tmp_path):
    def as_pq(stream):
        stream.codec_context.color_trc, stream.codec_context.color_primaries = 16, 9
        stream.codec_context.colorspace = 9

    path = tmp_path / "hdr.mkv"
    white_at_203_nits = 64 + round(0.58 * 876)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p10le"
        as_pq(stream)
        stream.codec_context.color_range = 1
        frame = av.VideoFrame(64, 64, "yuv420p10le")
        for plane, level in zip(frame.planes, (white_at_203_nits, 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = read(path)
    assert probe(path).is_hdr
    assert clip.array().mean() > 240
    assert "203" in clip.recipe.stages[-1].notes["hdr"]


@pytest.mark.parametrize(("height", "expected_matrix"), [(720, 1), (64, 5)])
def test_untagged_colours_follow_the_height(tmp_path, height, expected_matrix):
    frames = np.zeros((1, height, 64, 3), np.uint8)
    frames[..., 0], frames[..., 1] = 30, 200
    path = tmp_path / "untagged.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv420p"
        picture = av.VideoFrame.from_ndarray(frames[0]).reformat(
            format="yuv420p", dst_colorspace=expected_matrix
        )
        picture.colorspace = 2
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert np.abs(read(path).array().astype(int) - frames).max() <= 4


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2)

    path = encode(tmp_path / "dv.mp4", numbered_frames(4, 32, 36), prepare=wide)
    clip = read(path)
    assert (clip.width, clip.height) == (72, 32)
    assert numbers(clip) == [0, 1, 2, 3]
    assert clip.recipe.stages[-1].notes["pixel_shape"] == "2, made square"


def test_transparent_videos_are_composited_over_black(tmp_path):
    frames = np.full((3, 32, 32, 4), 255, np.uint8)
    frames[:, :16, :, 3] = 0
    path = encode(tmp_path / "alpha.mov", frames, codec="qtrle", pix_fmt="argb")
    clip = read(path)
    assert clip.array()[:, :16].max() == 0
    assert clip.array()[:, 16:].min() == 255
    assert clip.recipe.stages[-1].notes["alpha"] == "over black"


def test_odd_sizes_of_others(tmp_path):
    path = encode(tmp_path / "odd.mkv", numbered_frames(4, 31, 47), codec="ffv1", pix_fmt="bgr0")
    assert np.array_equal(read(path).array(), numbered_frames(4, 31, 47))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("x.avi", "mjpeg", "yuvj420p"),
        ("x.avi", "libx264", "yuv420p"),
        ("x.ts", "libx264", "yuv420p"),
        ("x.mkv", "libvpx", "yuv420p"),
        ("x.webm", "libsvtav1", "yuv420p"),
        ("x.mp4", "libx265", "yuv420p"),
        ("x.h264", "libx264", "yuv420p"),
        ("x.mpg", "mpeg2video", "yuv420p"),
        ("x.avi", "mpeg4", "yuv420p"),
    ],
)
def test_other_codecs_and_containers(tmp_path, name, codec, pix_fmt):
    if codec not in av.codecs_available:
        pytest.fail(f"this PyAV has no {codec}: choose another for this test")
    size = (128, 192) if codec == "libx265" else (64, 96)  # x265 corrupts the heap below its largest block
    path = encode(tmp_path / name, numbered_frames(40, *size), codec=codec, pix_fmt=pix_fmt, fps=25)
    clip = read(path)
    assert clip.fps == 25
    assert numbers(clip) == list(range(40))
    assert [read_number(frame) for frame in clip.frames[7:9]] == [7, 8]


def test_hidden_frames_of_vp8_are_not_counted(tmp_path):
    noise = np.random.default_rng(0).integers(0, 60, (40, 64, 96, 3), np.uint8)
    frames = np.clip(numbered_frames(40, 64, 96).astype(int) + noise, 0, 255).astype(np.uint8)
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "crf": "10", "b": "2M"}
    path = encode(tmp_path / "x.webm", frames, codec="libvpx", codec_options=options)
    assert numbers(read(path)) == list(range(40))


def test_sound_that_starts_elsewhere_than_the_frames_stays_in_time(tmp_path):
    path = encode(
        tmp_path / "late.mkv",
        numbered_frames(20),
        times=[500 + 50 * number for number in range(20)],
        fps=20,
        audio=tone(1.5, click_at_s=1.0),
    )
    clip = read(path)
    assert (clip.fps, clip.num_frames) == (20, 20)
    loudest = np.argmax(np.abs(clip.audio.samples[0])) / clip.audio.sample_rate
    assert loudest == pytest.approx(0.5, abs=0.03)


def test_fps_is_for_pictures_only(tmp_path, clip):
    path = clip.save(tmp_path / "clip.mp4")
    with pytest.raises(RequestError, match="own rate"):
        read(path, fps=12)
    folder = clip.save(tmp_path / "frames")
    assert read(folder, fps=12).fps == 12
    with pytest.raises(RequestError, match="positive"):
        read(folder, fps=0)


def test_folder_of_pictures_of_others(tmp_path):
    for number in (10, 2, 1):
        Pillow.fromarray(numbered_frames(11)[number]).save(tmp_path / f"shot_{number}.png")
    clip = read(tmp_path)
    assert numbers(clip) == [1, 2, 10]
    assert clip.fps == 24
    Pillow.new("RGB", (10, 10)).save(tmp_path / "shot_11.png")
    with pytest.raises(InvalidMedia, match=r"shot_11\.png.*10x10.*48x32"):
        read(tmp_path)


def test_empty_folder_and_nothing_at_all(tmp_path):
    with pytest.raises(InvalidMedia, match="no pictures"):
        read(tmp_path)
    with pytest.raises(NotFound, match="absent"):
        read(tmp_path / "absent.mp4")


def test_slices_are_exact_in_any_order(tmp_path):
    path = encode(tmp_path / "x.mp4", numbered_frames(120), codec_options={"g": "24", "bf": "3"})
    frames = read(path).frames
    rng = np.random.default_rng(1)
    for start in rng.integers(0, 119, 25):
        stop = min(120, start + int(rng.integers(1, 6)))
        assert [read_number(frame) for frame in frames[int(start) : stop]] == list(range(start, stop))
    assert [read_number(frame) for frame in frames[-2:]] == [118, 119]
    assert frames[5:5].shape == (0, 32, 48, 3)
    with pytest.raises(ValueError, match="step"):
        frames[::2]
    with pytest.raises(TypeError, match="slices"):
        frames[3]


def test_clips_of_files_can_be_pickled(tmp_path, clip):
    copy = pickle.loads(pickle.dumps(read(clip.save(tmp_path / "clip.mp4"))))
    assert numbers(copy) == list(range(17))


def test_a_file_that_changed_under_an_open_clip_is_noticed(tmp_path, clip):
    path = clip.save(tmp_path / "clip.mp4")
    opened = pickle.dumps(read(path))
    write(Clip(numbered_frames(3), 8), path)
    with pytest.raises(InvalidMedia, match="changed"):
        pickle.loads(opened)
