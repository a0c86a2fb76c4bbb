"""Clips find their captions, triggers and sizes; what cannot be used is named."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.media import write_image
from vitascope.training.cache import Item
from vitascope.training.dataset import Sample, bucket_for, collect, frames_for, with_trigger
from vitascope.training.deck import Deck
from vitascope.training.inspection import inspect, sheet, split_scenes
from vitascope.training.recipe import DataSource, VideoShape

BUCKETS = ((32, 32, 9),)


def clip(path, num_frames=9, size=(32, 32), seed=0, value=None):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 255, (1, 4, 4, 3), dtype=np.uint8).repeat(num_frames, 0)
    frames = coarse.repeat(size[1] // 4, 1).repeat(size[0] // 4, 2)
    if value is not None:
        frames = np.full_like(frames, value)
    for i in range(num_frames):
        frames[i, i % size[1], :, :] = 255 - frames[i, i % size[1], :, :]
    return Clip(frames, Fraction(8)).save(path)


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for i in range(3):
        clip(data / f"{i}.mp4", seed=i)
    return data


def captions(folder, **given):
    source = DataSource(path=folder, **given)
    return {sample.path.name: sample.caption for sample in collect([source]).samples}


def test_captions_come_from_text_files_csv_and_jsonl(folder, tmp_path):
    for i in range(3):
        (folder / f"{i}.txt").write_text(f"number {i}\n")
    assert captions(folder) == {f"{i}.mp4": f"number {i}" for i in range(3)}
    listed = tmp_path / "said.csv"
    listed.write_text("file_name,text\n0.mp4,one\n1.mp4,two\n2,three\n")
    assert captions(folder, captions=listed) == {"0.mp4": "one", "1.mp4": "two", "2.mp4": "three"}
    (folder / "metadata.jsonl").write_text('{"file": "0.mp4", "caption": "uno"}\n\n')
    assert captions(folder)["0.mp4"] == "uno"
    assert captions(folder)["1.mp4"] == "number 1", "a clip that is not listed has its text file"


def test_captions_keep_their_words_whatever_file_and_language_they_are_in(folder):
    (folder / "0.txt").write_bytes("\ufeff一只红色的猫 🐱".encode())
    (folder / "more").mkdir()
    clip(folder / "more" / "3.mp4", seed=3)
    (folder / "more" / "captions.csv").write_text('file,caption\n3.mp4,"two\nlines"\n')
    (folder / "captions.jsonl").write_text(
        '{"file": "1.mp4", "caption": "one\u2028line"}\n{"file": "2.mp4", "caption": "two"}\n'
    )
    said = {"0.mp4": "一只红色的猫 🐱", "1.mp4": "one line", "2.mp4": "two", "3.mp4": "two lines"}
    assert captions(folder) == said
    (folder / "0.txt").write_bytes("红球".encode("gbk"))
    with pytest.raises(RequestError, match=r"0.txt' is not UTF-8 \(byte 0\); save it as UTF-8"):
        captions(folder)


def test_lists_that_other_systems_wrote_find_their_clips(folder):
    (folder / "more").mkdir()
    clip(folder / "more" / "3.mp4", seed=3)
    rows = (r".\0.mp4,one", "./1.mp4,two", "2.mp4,three", r"more\3.mp4,four")
    (folder / "captions.csv").write_text("\r\n".join(["file,caption", *rows]), encoding="utf-8-sig")
    assert [s.caption for s in collect([DataSource(path=folder)]).samples] == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('file,caption\n0.mp4,"a ball\n1.mp4,a star\n2.mp4,a ring\n', "line 2: unexpected end"),
        (f'file,caption\n0.mp4,"{"x" * 200_000}"\n', "line 2: field larger"),
    ],
)
def test_a_quotation_mark_that_never_closes_swallows_no_captions(folder, text, complaint):
    (folder / "captions.csv").write_text(text)
    with pytest.raises(RequestError, match=complaint):
        collect([DataSource(path=folder, missing="skip")])


def test_the_trigger_word_stands_once_before_each_caption():
    assert with_trigger("a ball", "style0") == "style0, a ball"
    assert with_trigger("Style0 walks", "style0") == "Style0 walks"
    assert with_trigger("style01 walks", "style0") == "style0, style01 walks"
    assert with_trigger("在海里,style1跳", "style1") == "在海里,style1跳"
    assert with_trigger("", "style0") == "style0"


def test_missing_captions_are_refused_skipped_or_triggered(folder):
    (folder / "0.txt").write_text("one")
    with pytest.raises(RequestError, match=r"2 of 3 clips .* have no caption, first '1.mp4'"):
        captions(folder)
    assert captions(folder, missing="skip") == {"0.mp4": "one"}
    assert captions(folder, missing="trigger", trigger="x")["1.mp4"] == "x"
    with pytest.raises(RequestError, match="trigger word"):
        captions(folder, missing="trigger")


def test_bad_folders_and_lists(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="holds no videos"):
        collect([DataSource(path=tmp_path / "empty")])
    with pytest.raises(NotFound, match="no folder"):
        collect([DataSource(path=tmp_path / "none")])
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"file": "0.mp4", "caption": "x"}\nnot json\n')
    with pytest.raises(RequestError, match=r"broken.jsonl, line 2"):
        captions(folder, captions=broken)
    broken.write_text('{"file": "0.mp4"}\n')
    with pytest.raises(RequestError, match=r"line 1: needs a column file and a column caption"):
        captions(folder, captions=broken)


def test_only_clips_that_may_be_mirrored_are(folder):
    for i, text in enumerate(("a ball moves to the left", "a red ball", "一个球向右移")):
        (folder / f"{i}.txt").write_text(text)
    found = collect([DataSource(path=folder, flip=True)]).samples
    assert [sample.may_flip for sample in found] == [False, True, False]


def test_a_clip_goes_to_the_bucket_that_loses_least():
    buckets = ((720, 480, 49), (480, 720, 49), (720, 480, 9))
    assert bucket_for(60, 1920, 1080, buckets) == (720, 480, 49)
    assert bucket_for(60, 1080, 1920, buckets) == (480, 720, 49)
    assert bucket_for(20, 1920, 1080, buckets) == (720, 480, 9)
    assert bucket_for(1, 100, 90, buckets)[2] == 1
    assert bucket_for(5, 1920, 1080, buckets) is None


def test_frames_are_cut_never_stretched(tmp_path):
    frames = np.zeros((9, 32, 64, 3), np.uint8)
    frames[:, :, 16:48] = 255  # the middle square is white
    Clip(frames, Fraction(8)).save(tmp_path / "wide.mp4")
    bucket, cut = frames_for(tmp_path / "wide.mp4", BUCKETS, VideoShape())
    assert bucket == (32, 32, 9)
    assert cut.shape == (9, 32, 32, 3)
    assert cut[:, 4:-4, 4:-4].min() > 240
    clip(tmp_path / "short.mp4", 5)
    with pytest.raises(InvalidMedia, match="too short: 5 frames, at least 9"):
        frames_for(tmp_path / "short.mp4", BUCKETS, VideoShape())
    frames = np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(32, 1).repeat(32, 2).repeat(3, 3) * 12
    Clip(frames, Fraction(16)).save(tmp_path / "long.mp4")
    _, half = frames_for(tmp_path / "long.mp4", BUCKETS, VideoShape(fps=8))
    assert np.diff(half[:, 16, 16, 0].astype(int)).mean() == pytest.approx(24, abs=2)


def test_the_deck_is_fair_and_the_same_every_time():
    sample = Sample(Path("x"), "x")
    items = [
        Item(Path(f"{i}"), Path("c"), int(i >= 12), (32, 32, 9 if i % 2 else 17), sample) for i in range(16)
    ]
    deck = Deck(items, [1.0, 1.0], 4, seed=3)
    batches = [deck.batch(n) for n in range(100)]
    assert all(len({item.bucket for item in batch}) == 1 and len(batch) == 4 for batch in batches)
    counted = Counter(item.source for batch in batches for item in batch)
    assert counted[0] / counted[1] == pytest.approx(1, abs=0.15), "four clips have the share of twelve"
    assert len(Counter(item.latents for batch in batches for item in batch)) == 16
    again = Deck(items, [1.0, 1.0], 4, seed=3)
    assert again.batch(57) == batches[57]
    two = [Deck(items, [1.0, 1.0], 4, seed=3, rank=rank, world=2) for rank in range(2)]
    assert [two[n % 2].batch(n // 2) for n in range(20)] == batches[:20]


def test_the_check_names_everything_that_is_wrong(folder, tmp_path):
    for name in ("0", "1", "2", "dark", "short", "copy", "cut", "still"):
        (folder / f"{name}.txt").write_text("a ball")
    clip(folder / "dark.mp4", value=3)
    clip(folder / "short.mp4", 3, seed=5)
    (folder / "copy.mp4").write_bytes((folder / "0.mp4").read_bytes())
    (folder / "bad.mp4").write_bytes(b"no video")
    first = np.full((6, 32, 32, 3), (200, 30, 30), np.uint8)
    second = np.random.default_rng(9).integers(0, 80, (9, 32, 32, 3), dtype=np.uint8)
    second[..., 2] += 150
    Clip(np.concatenate([first, second]), Fraction(8)).save(folder / "cut.mp4")
    Clip(
        np.random.default_rng(8).integers(0, 255, (1, 64, 32, 3), dtype=np.uint8).repeat(9, 0), Fraction(8)
    ).save(folder / "still.gif")
    report, strips = inspect(folder, BUCKETS, Context())
    found = {(finding.file, finding.problem) for finding in report.findings}
    assert {
        ("bad.mp4", "unreadable"),
        ("bad.mp4", "no caption"),
        ("dark.mp4", "dark"),
        ("short.mp4", "too short"),
        ("copy.mp4", "duplicate"),
        ("cut.mp4", "cuts"),
        ("still.gif", "still"),
        ("still.gif", "other shape"),
    } <= found
    assert not {("0.mp4", p) for p in ("dark", "cuts", "too short", "unreadable", "no caption")} & found
    assert report.usable == 7
    assert sheet(strips, tmp_path / "sheet.jpg", report.findings).stat().st_size > 1000
    scenes = split_scenes(folder, tmp_path / "scenes", Context(), least=5)
    assert {"cut-001.mp4", "cut-002.mp4", "0.mp4"} <= {path.name for path in scenes}
    assert (tmp_path / "scenes" / "cut-002.txt").read_text() == "a ball"


def test_a_picture_is_a_clip_of_one_frame(tmp_path):
    write_image(Image(np.full((40, 40, 3), 99, np.uint8)), tmp_path / "still.png")
    bucket, frames = frames_for(tmp_path / "still.png", BUCKETS, VideoShape())
    assert bucket == (32, 32, 1)
    assert frames.shape == (1, 32, 32, 3)
