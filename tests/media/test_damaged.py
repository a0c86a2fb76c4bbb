"""Files that are broken, cut short, empty, or not what their name says: one clear line each."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from sample_clips import encode, numbered_frames, read_number, tone

from vitascope.clip import Clip
from vitascope.errors import InvalidMedia, NotFound, VitascopeError
from vitascope.media import probe, read, read_image, read_lossless, read_recipe, write, write_lossless


def says(error):
    """The message, which must be one line that names the file."""
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
@pytest.mark.parametrize("part", [0.5, 0.8, 0.99])
def test_a_truncated_video_says_how_many_frames_could_be_read(tmp_path, suffix, part):
    noise = np.random.default_rng(0).integers(0, 255, (48, 32, 48, 3), np.uint8)
    whole = write(Clip(noise, 24), tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(InvalidMedia, match=r"first \d+ frames could be read|\d+ of \d+ frames") as error:
        read(path)
    readable = int("".join(c for c in says(error).split("first ")[-1].split(" ")[0] if c.isdigit()))
    assert 48 * part - 12 <= readable <= 48


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
@pytest.mark.parametrize("more", [bytes(100), b"appended by a camera, or a careless upload" * 3])
def test_what_others_append_to_a_whole_file_does_no_harm(tmp_path, clip, suffix, more):
    path = clip.save(tmp_path / f"x{suffix}")
    path.write_bytes(path.read_bytes() + more)
    assert [read_number(frame) for frame in read(path).array()] == list(range(17))


def test_a_video_cut_before_its_index_says_that_none_could_be_read(tmp_path):
    path = encode(tmp_path / "x.mp4", numbered_frames(30))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InvalidMedia, match=r"cut short.* 0 frames") as error:
        read(path)
    assert "x.mp4" in says(error)


def test_damage_in_the_middle_is_found_when_it_is_reached(tmp_path):
    path = encode(tmp_path / "x.avi", numbered_frames(60, 64, 96), codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    clip = read(path)
    assert [read_number(frame) for frame in clip.frames[0:20]] == list(range(20))
    with pytest.raises(InvalidMedia, match=r"damaged: \d+ of \d+ frames could be read"):
        clip.array()


def test_a_matroska_file_damaged_in_the_middle_is_not_taken_for_a_shorter_one(tmp_path):
    path = encode(tmp_path / "x.webm", numbered_frames(60, 64, 96), codec="libvpx-vp9")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(InvalidMedia, match=r"first \d+ frames"):
        read(path)


def test_frames_before_the_first_key_frame_are_left_out(tmp_path):
    path = encode(tmp_path / "x.ts", numbered_frames(60), codec_options={"g": "20", "sc_threshold": "0"})
    data = path.read_bytes()
    path.write_bytes(data[: 188 * 3] + data[188 * 8 :])
    clip = read(path)
    numbers = [read_number(frame) for frame in clip.array()]
    assert numbers == list(range(numbers[0], 60))
    assert numbers[0] % 20 == 0


@pytest.mark.parametrize("name", ["x.mp4", "x.gif", "x.png", "x.webm", "x"])
@pytest.mark.parametrize("action", [read, probe, read_recipe, read_image])
def test_empty_files(tmp_path, name, action):
    (tmp_path / name).touch()
    with pytest.raises(InvalidMedia, match="0 bytes"):
        action(tmp_path / name)


@pytest.mark.parametrize("name", ["x.mp4", "x.gif", "x.png", "x.jpg", "x.webm", "x.mov", "x"])
@pytest.mark.parametrize("content", [b"hello, world\n" * 99, bytes(range(256)) * 9, b"PK\3\4" + bytes(900)])
def test_files_that_are_no_media(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    for action in (read, probe):
        with pytest.raises(InvalidMedia) as error:
            action(tmp_path / name)
        assert name in says(error)
    with pytest.raises(InvalidMedia):
        read_image(tmp_path / name)


def test_names_that_lie(tmp_path, clip):
    Pillow.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.mp4")
    with pytest.raises(InvalidMedia, match="named like a video but is a PNG picture"):
        read(tmp_path / "x.mp4")
    clip.save(tmp_path / "y.mp4").rename(tmp_path / "y.png")
    with pytest.raises(InvalidMedia, match="named like a picture"):
        read(tmp_path / "y.png")
    with pytest.raises(InvalidMedia, match="picture"):
        read_image(tmp_path / "y.png")


def test_kinds_of_pictures_and_of_videos_are_told_by_content(tmp_path, clip):
    Pillow.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg").pixels.max() == 9
    clip.save(tmp_path / "y.mkv").rename(tmp_path / "y.mp4")
    assert read(tmp_path / "y.mp4").num_frames == 17


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"]
)
def test_playlists_cannot_lead_to_other_files(tmp_path, clip, text):
    secret = clip.save(tmp_path / "secret.mp4")
    for name in ("list.mp4", "list.m3u8", "list"):
        (tmp_path / name).write_text(text.format(secret.name))
        with pytest.raises(InvalidMedia):
            read(tmp_path / name)


def test_sound_alone_is_no_clip(tmp_path):
    import av

    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="stereo")
        block = av.AudioFrame.from_ndarray(tone(0.5).samples, format="fltp", layout="stereo")
        block.sample_rate = 48000
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    with pytest.raises(InvalidMedia, match="no moving picture"):
        read(tmp_path / "song.mp4")


def test_a_recipe_that_cannot_be_read_is_said_and_does_not_hide_the_frames(tmp_path, clip):
    path = clip.save(tmp_path / "clip.gif")
    data = path.read_bytes()
    path.write_bytes(data.replace(b'\\"stages\\"', b'\\"stagez\\"'))
    with pytest.raises(InvalidMedia, match="stagez"):
        read_recipe(path)
    back = read(path)
    assert back.num_frames == 17
    assert "stagez" in back.recipe.stages[0].notes["unread_recipe"]


def test_lossless_clips_that_are_damaged(tmp_path, clip):
    path = write_lossless(clip, tmp_path / "kept")
    frames = (path / "frames.npy").read_bytes()
    (path / "frames.npy").write_bytes(frames[:-100])
    with pytest.raises(InvalidMedia, match="damaged"):
        read_lossless(path)
    (path / "frames.npy").write_bytes(frames)
    (path / "lossless.json").write_text("{}")
    with pytest.raises(InvalidMedia, match="damaged"):
        read_lossless(path)
    with pytest.raises(NotFound):
        read_lossless(tmp_path / "absent")


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    clip = Clip(numbered_frames(6), 8, audio=tone(0.7))
    files = [write(clip, folder / f"x{suffix}").read_bytes() for suffix in (".mp4", ".webm", ".gif")]
    picture = Pillow.fromarray(numbered_frames(3)[2])
    for name in ("x.png", "x.jpg", "x.webp", "x.tif"):
        picture.save(folder / name)
        files.append((folder / name).read_bytes())
    return Files(enumerate(files))


class Files(dict):
    """Keeps hypothesis from printing the bytes."""

    def __repr__(self):
        return "Files"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_frames_or_one_of_our_errors(tmp_path, whole_files, data):
    content = bytearray(whole_files[data.draw(st.sampled_from(range(7)))])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "broken"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for action in (lambda p: read(p).array(), read_image, read_recipe):
        try:
            action(path)
        except VitascopeError as error:
            assert "\n" not in str(error)
