"""Pictures are read as they are meant to be seen."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from vitascope.clip import Image
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.media import probe, read, read_image, write_image


def corner_marked(width=24, height=16):
    """Red top left, green top right, blue bottom left."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = 255
    pixels[: height // 2, width // 2 :, 1] = 255
    pixels[height // 2 :, : width // 2, 2] = 255
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_are_undone(tmp_path, orientation):
    upright = corner_marked()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    picture = Pillow.fromarray(np.ascontiguousarray(stored))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "x.png").pixels, upright)
    clip = read(tmp_path / "x.png")
    assert np.array_equal(clip.array()[0], upright)


def test_transparency_is_kept_and_composited_over_black(tmp_path):
    rgba = np.full((8, 8, 4), 200, np.uint8)
    rgba[:4, :, 3], rgba[4:, :, 3] = 0, 128
    Pillow.fromarray(rgba).save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png")
    assert image.pixels[:4].max() == 0
    assert (image.pixels[4:] == 100).all()
    assert np.array_equal(image.alpha, rgba[..., 3])
    clip = read(tmp_path / "x.png")
    assert np.array_equal(clip.mask[0], image.alpha)
    assert probe(tmp_path / "x.png").has_alpha


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB", "HSV"]
)
def test_all_modes_become_the_same_eight_bit_rgb(tmp_path, mode):
    grey = Pillow.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 6, axis=1).repeat(6, axis=0))
    if mode in ("I;16", "I"):
        wide = np.asarray(grey).astype(np.uint16) * 257
        picture = Pillow.fromarray(wide if mode == "I;16" else wide.astype(np.int32))
    elif mode == "F":
        picture = Pillow.fromarray(np.asarray(grey).astype(np.float32) / 255)
    elif mode == "LAB":
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        picture = ImageCms.applyTransform(grey.convert("RGB"), to_lab)
    else:
        picture = grey.convert(mode)
    suffix = ".png" if mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else ".tif"
    if mode == "YCbCr":
        suffix = ".jpg"  # Pillow 12 cannot read the TIFF of this mode that it writes
    if mode == "HSV":
        suffix, picture = ".jpg", picture.convert("CMYK")
    picture.save(tmp_path / f"x{suffix}")
    image = read_image(tmp_path / f"x{suffix}")
    assert image.pixels.shape == (6, 12, 3)
    assert np.abs(image.pixels[:, [0, -1]].astype(int) - np.array([0, 255])[None, :, None]).max() <= 6


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    Pillow.fromarray(ramp).save(tmp_path / "x.png")
    assert np.abs(read_image(tmp_path / "x.png").pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_other_colour_profiles_become_srgb(tmp_path):
    """A profile whose primaries are swapped must swap the channels."""
    swapped = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 255
    Pillow.fromarray(pixels).save(tmp_path / "x.png", icc_profile=bytes(swapped))
    seen = read_image(tmp_path / "x.png").pixels
    assert seen[0, 0, 2] > 240 and seen[0, 0, 0] < 15
    Pillow.fromarray(pixels).save(tmp_path / "bad.png", icc_profile=b"not a profile")
    assert np.array_equal(read_image(tmp_path / "bad.png").pixels, pixels)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_the_first_frame_of_an_animated_picture(tmp_path, suffix):
    frames = [Pillow.new("RGB", (10, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:])
    red, green, _ = read_image(tmp_path / f"x{suffix}").pixels[4, 5].astype(int)
    assert red > 200 > 60 > green


@pytest.mark.parametrize(("name", "format_"), [("pages.tif", "TIFF"), ("phone.jpg", "MPO")])
def test_further_pages_and_views_are_no_frames(tmp_path, name, format_):
    pages = [Pillow.new("RGB", (10, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    pages[0].save(tmp_path / name, format=format_, save_all=True, append_images=pages[1:])
    clip = read(tmp_path / name)
    assert clip.num_frames == 1
    assert clip.array()[0, 4, 5, 0] > 200
    assert read_image(tmp_path / name).pixels[4, 5, 0] > 200


def test_opaque_palettes_have_no_mask(tmp_path):
    Pillow.new("RGB", (8, 8), (90, 10, 10)).quantize(4).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").alpha is None
    assert read(tmp_path / "x.png").mask is None


def test_one_pixel_and_many(tmp_path):
    Pillow.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "tiny.png")
    assert read_image(tmp_path / "tiny.png").pixels.tolist() == [[[1, 2, 3]]]
    assert read(tmp_path / "tiny.png").frames.shape == (1, 1, 1, 3)
    Pillow.new("L", (12_000, 2_000), 7).save(tmp_path / "huge.png")
    assert read_image(tmp_path / "huge.png").pixels.shape == (2_000, 12_000, 3)


def test_decompression_bombs_are_refused_before_they_go_off(tmp_path):
    bomb = io.BytesIO()
    Pillow.new("1", (100, 100)).save(bomb, "PNG")
    data = bytearray(bomb.getvalue())
    import zlib

    data[16:24] = (200_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    for action in (read_image, read, probe):
        with pytest.raises(InvalidMedia, match="pixels"):
            action(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_damaged_and_missing(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)  # as another library may have left it
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = write_image(Image(noise), tmp_path / f"x{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidMedia, match="x"):
        read_image(path)
    with pytest.raises(NotFound, match="absent"):
        read_image(tmp_path / f"absent{suffix}")


@pytest.mark.parametrize(("suffix", "error"), [(".png", 0), (".jpg", 12), (".jpeg", 12), (".webp", 12)])
def test_pictures_are_written_and_read_back(tmp_path, suffix, error):
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8)[..., None].repeat(3, 2)
    back = read_image(write_image(Image(smooth), tmp_path / f"x{suffix}"))
    assert np.abs(back.pixels.astype(int) - smooth).max() <= error


def test_transparency_survives_a_png(tmp_path):
    alpha = np.linspace(0, 255, 16).astype(np.uint8)[None].repeat(4, 0)
    pixels = (np.full((4, 16, 3), 180) * (alpha[..., None] / 255)).round().astype(np.uint8)
    back = read_image(write_image(Image(pixels, alpha), tmp_path / "x.png"))
    assert np.array_equal(back.alpha, alpha)
    assert np.abs(back.pixels.astype(int) - pixels).max() <= 1


def test_refuses_unknown_suffixes_and_kept_files(tmp_path):
    image = Image(corner_marked())
    with pytest.raises(RequestError, match=r"'\.tga'.*\.jpeg, \.jpg, \.png, \.webp"):
        write_image(image, tmp_path / "x.tga")
    path = write_image(image, tmp_path / "x.png")
    with pytest.raises(RequestError, match="exists"):
        write_image(image, path, overwrite=False)
