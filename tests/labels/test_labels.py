"""Labels in every format, read back by tools that are not ours; what removes one, and what cannot."""

import datetime
import json
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.engine import Engine
from vitascope.engine.placement import Placement
from vitascope.errors import DependencyMissing, NotFound, RequestError, ResourceError, UnknownName
from vitascope.generators import for_model
from vitascope.labels import credentials, visible
from vitascope.labels.policy import Policy, keep_labels, labelled
from vitascope.labels.reading import found_in
from vitascope.media import read, read_image, read_lossless, write, write_image, write_lossless
from vitascope.recipe import AigcLabel, Labels, Recipe, Stage
from vitascope.settings import Settings
from vitascope.steps import STEPS
from vitascope.task import ImageToVideo
from vitascope.workflows import Chain

FIELDS = [
    "Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2",
]  # fmt: skip
VIDEOS = [".mp4", ".mov", ".mkv", ".webm"]


def noisy(num_frames=40, width=192, height=128, fps=8):
    tiles = np.random.default_rng(0).integers(0, 255, (1, height // 8, width // 8, 3), np.uint8)
    frames = np.repeat(tiles.repeat(8, 1).repeat(8, 2), num_frames, 0)
    recipe = Recipe().then(Stage(kind="generator", name="sprout", knobs={"seed": 3}))
    return Clip(frames, Fraction(fps), recipe=recipe)


def first_frame(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def object_in(text):
    found = json.loads(text)
    assert list(found) == FIELDS and found["Label"] == "1" and found["ProduceID"]
    return found


@pytest.mark.parametrize("suffix", VIDEOS)
def test_videos_carry_both_labels(tmp_path, suffix):
    path = write(noisy(), tmp_path / f"clip{suffix}", label="cn")
    with av.open(str(path)) as container:
        assert object_in(container.metadata["AIGC"])["ContentProducer"] == "Vitascope"
    assert visible.is_marked(first_frame(path))
    assert found_in(path)["visible_mark_s"] == 2.0  # of 5 seconds


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_pictures_that_are_clips_carry_both_labels(tmp_path, suffix):
    clip = noisy(num_frames=1 if suffix == ".png" else 24)
    path = write(clip, tmp_path / f"clip{suffix}", label="cn")
    packet = path.read_bytes()
    assert b"http://www.tc260.org.cn/ns/AIGC/1.0/" in packet and b"trainedAlgorithmicMedia" in packet
    assert object_in(json.dumps(found_in(path)["aigc"]))
    assert visible.is_marked(np.array(Pillow.open(path).convert("RGB")))
    assert read(path).recipe.stages[0].name == "sprout"


def test_every_picture_of_a_folder_carries_its_label(tmp_path):
    folder = write(noisy(24), tmp_path / "frames", label="cn")
    pictures = sorted(folder.glob("*.png"))
    assert all(b"TC260:AIGC" in path.read_bytes() for path in pictures)
    marked = [visible.is_marked(np.array(Pillow.open(path))) for path in pictures]
    assert marked == [True] * 16 + [False] * 8
    assert (
        read(folder).recipe.labels.aigc
        == read(write(noisy(24), tmp_path / "a.mp4", label="cn")).recipe.labels.aigc
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_stills_carry_both_labels(tmp_path, suffix):
    label = AigcLabel(content_producer="工作室", produce_id="x1")
    path = write_image(Image(noisy().array()[0]), tmp_path / f"still{suffix}", label=label)
    assert found_in(path)["aigc"] == label.model_dump(by_alias=True)
    assert visible.is_marked(np.array(Pillow.open(path).convert("RGB")))


@pytest.mark.parametrize("size", [(128, 128), (720, 480), (480, 854), (1920, 1080), (3840, 2160)])
def test_the_text_is_as_high_as_the_standard_asks(size):
    width, height = size
    plate, row, column = visible.plate(width, height)
    bright = np.flatnonzero((plate[..., 0] > 128).any(axis=1))
    assert bright[-1] - bright[0] + 1 >= max(0.05 * min(size), 16)
    assert row + plate.shape[0] <= height and column + plate.shape[1] <= width


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 64), (40, 24)])
def test_frames_too_small_get_the_largest_mark_that_fits(size):
    frame = np.full((size[1], size[0], 3), 200, np.uint8)
    assert visible.mark(frame).shape == frame.shape


def test_marking_twice_changes_nothing_and_the_source_stays():
    frame = noisy().array()[0]
    before = frame.copy()
    once = visible.mark(frame)
    assert (frame == before).all() and (once != frame).any()
    assert (visible.mark(once) == once).all()


def test_labels_are_kept_through_steps_and_reencoding(tmp_path):
    path = write(noisy(), tmp_path / "a.mp4", label="cn")
    turned = STEPS["reverse"]().apply(read(path), {}, None, Context())
    again = write(turned, tmp_path / "b.webm")
    kept = write_lossless(read(again), tmp_path / "kept")
    last = write(
        read_lossless(kept), tmp_path / "c.gif", label="none"
    )  # `none` adds nothing; it removes nothing
    assert found_in(last)["aigc"] == found_in(path)["aigc"]
    assert found_in(again)["visible_mark_s"] >= 2  # though the marked frames went to the end


def test_labels_of_others_are_kept(tmp_path):
    theirs = {"Label": 2, "ContentProducer": "别家", "ProduceID": "77", "Extra": "unknown"}
    path = tmp_path / "theirs.mp4"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["AIGC"] = json.dumps(theirs)
        stream = container.add_stream("libx264", rate=8, options={"crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(8):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    label = found_in(write(read(path), tmp_path / "ours.mkv", label="cn"))["aigc"]
    assert (label["Label"], label["ContentProducer"], label["ProduceID"]) == ("2", "别家", "77")


def test_what_is_no_label_does_not_stop_a_reader(tmp_path):
    clip = noisy(8)
    path = write(clip, tmp_path / "a.mp4", label="cn")
    data = path.read_bytes()
    assert data.count(b'{"Label"') == 1
    path.write_bytes(data.replace(b'{"Label"', b'["Label"'))
    assert read(path).num_frames == 8


def test_a_clip_made_from_a_labelled_one_keeps_its_label():
    source = labelled(noisy(), Policy.of("cn"), Settings(home="x"))
    made = keep_labels(noisy(), source)
    assert made.recipe.labels.aigc == source.recipe.labels.aigc
    assert keep_labels(source, noisy()) is source


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_clip_made_from_a_labelled_picture_keeps_its_label(tmp_path, suffix):
    label = AigcLabel(content_producer="someone", produce_id="7")
    picture = read_image(write_image(Image(noisy().array()[0]), tmp_path / f"a{suffix}", label=label))
    assert picture.aigc == label
    task = ImageToVideo(prompt="bars", image=picture, num_frames=2)
    chain = Chain(generator=for_model("colour-bars"))
    made = chain.run(task, Engine(Placement(device="cpu")), Context())
    assert made.recipe.labels.aigc == label
    bare = task.model_copy(update={"image": Image(picture.pixels)})
    assert chain.run(bare, Engine(Placement(device="cpu")), Context()).recipe.labels.aigc is None


def test_unlabelled_files_say_nothing(tmp_path):
    path = write(noisy(), tmp_path / "a.mp4")
    assert found_in(path) == {}
    with av.open(str(path)) as container:
        assert "AIGC" not in container.metadata


def test_the_same_recipe_gives_the_same_id_and_another_gives_another():
    ids = [
        labelled(clip, Policy.of("cn"), Settings(home="x")).recipe.labels.aigc.produce_id
        for clip in (
            noisy(),
            noisy(),
            Clip(noisy().frames, 8, recipe=Recipe().then(Stage(kind="generator", name="b"))),
        )
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("words", ["", "CN", "cn,off", "cn c2pa", "c3pa"])
def test_unknown_labels_are_refused(words):
    with pytest.raises(UnknownName, match="label"):
        Policy.of(words)


def test_producer_and_default_come_from_the_environment():
    settings = Settings.from_environment({"VITASCOPE_LABEL": "cn", "VITASCOPE_LABEL_PRODUCER": "91110000X"})
    clip = labelled(noisy(), Policy.of(settings.label), settings)
    assert clip.recipe.labels.aigc.content_producer == "91110000X"


# --- content credentials


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A chain of two certificates and the key of the first, as `docs` tell how to make them."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name, public, is_root):
        names = [
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
                    x509.NameAttribute(NameOID.COMMON_NAME, n),
                ]
            )
            for n in (name, "Root")
        ]
        made = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(public)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1))
        made = made.not_valid_after(now + datetime.timedelta(30))
        made = made.add_extension(x509.BasicConstraints(is_root, None), True)
        usage = (not is_root, False, False, False, False, is_root, is_root, False, False)
        made = made.add_extension(x509.KeyUsage(*usage), True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        made = made.add_extension(issuer, False)
        if not is_root:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(purpose, False)
        return made.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    folder = tmp_path_factory.mktemp("keys")
    chain = certificate("Signer", key.public_key(), False) + certificate("Root", root_key.public_key(), True)
    (folder / "chain.pem").write_bytes(chain)
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return folder


@pytest.fixture
def with_keys(keys, monkeypatch):
    monkeypatch.setenv("VITASCOPE_C2PA_CERT", str(keys / "chain.pem"))
    monkeypatch.setenv("VITASCOPE_C2PA_KEY", str(keys / "key.pem"))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".gif"])
def test_credentials_are_signed_and_break_when_the_file_is_changed(tmp_path, with_keys, suffix):
    path = write(noisy(), tmp_path / f"clip{suffix}", label="cn,c2pa")
    found = found_in(path)
    assert found["aigc"] and found["c2pa"]["state"] == "Valid" and found["c2pa"]["signed_by"] == "Test"
    assert read(path).num_frames == 40
    data = bytearray(path.read_bytes())
    # in the compressed frames: a GIF's lie before its end, a video's around the middle of the file
    data[len(data) // 2 if suffix != ".gif" else -300] ^= 1
    path.write_bytes(data)
    assert credentials.read(path)["state"] == "Invalid"


def test_a_signed_clip_is_signed_anew_and_never_silently_stripped(tmp_path, with_keys, monkeypatch):
    path = write(noisy(8), tmp_path / "a.mp4", label="c2pa")
    assert found_in(write(read(path), tmp_path / "b.mov"))["c2pa"]["state"] == "Valid"
    monkeypatch.delenv("VITASCOPE_C2PA_KEY")
    with pytest.raises(ResourceError, match="VITASCOPE_C2PA_KEY"):
        write(read(path), tmp_path / "c.mp4")
    assert not (tmp_path / "c.mp4").exists()


def test_what_cannot_be_signed_is_said_before_the_run(tmp_path, with_keys, monkeypatch):
    settings = Settings.from_environment()
    for name in ("a.webm", "a.mkv", "folder"):
        with pytest.raises(RequestError, match="cannot carry C2PA"):
            Policy.of("c2pa").check(tmp_path / name, settings)
    with pytest.raises(NotFound, match="VITASCOPE_C2PA_CERT"):
        Policy.of("c2pa").check(
            tmp_path / "a.mp4", settings.model_copy(update={"c2pa_cert": tmp_path / "none"})
        )
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(DependencyMissing, match=r"vitascope\[c2pa\]"):
        Policy.of("c2pa").check(tmp_path / "a.mp4", settings)


def test_a_key_that_signs_nothing_is_named(tmp_path, with_keys, keys, monkeypatch):
    (tmp_path / "bad.pem").write_text("no key")
    monkeypatch.setenv("VITASCOPE_C2PA_KEY", str(tmp_path / "bad.pem"))
    with pytest.raises(ResourceError, match=r"bad\.pem"):
        write(noisy(8), tmp_path / "a.mp4", label="c2pa")
    assert not list(tmp_path.glob("*.mp4"))


def test_recipes_without_labels_can_still_be_read():
    old = '{"vitascope":"0.1.0","stages":[],"placement":{},"environment":{}}'
    assert Recipe.model_validate_json(old).labels == Labels()
