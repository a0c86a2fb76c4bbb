"""Still pictures in and out, and clips that are made of pictures: folders and animated WebP."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitascope.atomic import replacing
from vitascope.clip import Image, Pixels
from vitascope.errors import InvalidMedia, OutOfMemory, RequestError
from vitascope.labels import metadata, visible
from vitascope.media._colour import over
from vitascope.media._containers import check_size, require_file
from vitascope.media.frames import StoredFrames
from vitascope.recipe import AigcLabel

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# What Pillow may open; its other formats run old parsers, or programs, on files that strangers send.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    **{f"P{kind}".encode(): "PPM" for kind in "123456"},
}
DEFAULT_DURATION_MS = 100  # of a frame that says 0, as browsers show it
PICTURE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ppm", ".apng"
}  # fmt: skip
WRITTEN_AS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "compress_level": 4},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
}


def picture_format(path: Path) -> str | None:
    """Which picture format a file is in by its first bytes, whatever its name; None if it is none of ours."""
    with path.open("rb") as file:
        head = file.read(12)
    for start, name in MAGIC.items():
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return "AVIF" if head[4:12] in (b"ftypavif", b"ftypavis") else None


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What Pillow says of a bad file in the block, as one clear line. Raises: InvalidMedia, OutOfMemory."""
    from PIL import Image as Pillow

    try:
        yield
    except Pillow.UnidentifiedImageError as error:
        raise InvalidMedia(f"{str(path)!r} is not a picture that can be read") from error
    except Pillow.DecompressionBombError as error:
        raise InvalidMedia(f"{str(path)!r} has too many pixels; scale it down") from error
    except InvalidMedia:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{str(path)!r} needs more memory than is free; scale it down") from error
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, RuntimeError, struct.error) as error:
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise InvalidMedia(f"{str(path)!r} is a damaged picture ({why}); get the file again") from error


def open_picture(path: Path) -> PillowImage:
    """The picture at `path`, its header read, nothing decoded yet. Raises: NotFound, InvalidMedia."""
    from PIL import Image as Pillow
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False  # WeasyPrint's import turns it on for the whole process
    require_file(path)
    if path.stat().st_size == 0:
        raise InvalidMedia(f"{str(path)!r} is empty (0 bytes); get the file again")
    with explained(path):
        picture = Pillow.open(path, formats=FORMATS)
        check_size(*picture.size, path)
    return picture


def read_image(path: str | Path) -> Image:
    """Read a picture as it is meant to be seen: upright, in sRGB, 8 bits.

    Transparent pixels are composited over black and their opacity is kept in `alpha`. Of an animated picture
    the first frame is read. 16-bit and grey pictures are brought to 8-bit RGB, CMYK and other colour profiles
    to sRGB.

    Raises: NotFound, InvalidMedia.
    """
    path = Path(path)
    with open_picture(path) as picture, explained(path):
        pixels, alpha = seen(picture)
        said = metadata.from_xmp(picture.info.get("xmp", b""))
    return Image(pixels, alpha, path, None if said is None else metadata.parse(said))


def seen(picture: PillowImage) -> tuple[Pixels, Pixels | None]:
    """The current frame of an open picture as shown: pixels over black, and the opacity if it has one.

    Shape: (H, W, 3) and (H, W) uint8.
    """
    from PIL import ImageOps

    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
    alpha = np.array(upright.getchannel("A")) if upright.mode == "RGBA" else None
    opaque = upright.convert("RGB") if alpha is not None else _eight_bits(upright)
    pixels = np.array(_in_srgb(opaque, profile))
    if alpha is None or alpha.min() == 255:
        return pixels, None
    return over(pixels, alpha), alpha


def _eight_bits(picture: PillowImage) -> PillowImage:
    """16-bit and float greys scaled to 0..255; Pillow itself would clip them."""
    from PIL import Image as Pillow

    if picture.mode.startswith("I;16") or picture.mode == "I":
        values = np.asarray(picture).astype(np.int64).clip(0, 65535)
        return Pillow.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if picture.mode == "F":
        values = np.nan_to_num(np.asarray(picture))
        scale = 255.0 if values.max(initial=0) <= 1 else 1.0
        return Pillow.fromarray((values * scale).round().clip(0, 255).astype(np.uint8))
    return picture


def _in_srgb(picture: PillowImage, profile: bytes | None) -> PillowImage:
    import io

    from PIL import ImageCms

    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile, or one for another mode than the pixels': viewers show them plainly
    return picture.convert("RGB")


def write_image(
    image: Image, path: str | Path, *, overwrite: bool = True, label: AigcLabel | None = None
) -> Path:
    """Write a picture as PNG, JPEG or WebP by its suffix; the opacity is written where the format has one.

    With `label` the picture carries the visible mark and the metadata of one that was generated.

    Raises: RequestError for another suffix or, without `overwrite`, an existing file; NotFound, DiskFull.
    """
    from PIL import Image as Pillow

    path = Path(path)
    options = WRITTEN_AS.get(path.suffix.lower())
    if options is None:
        allowed = ", ".join(sorted(WRITTEN_AS))
        raise RequestError(f"cannot write a picture as {path.suffix or path.name!r}; use one of {allowed}")
    refuse_existing(path, overwrite)
    if label is not None:
        image = Image(visible.mark(image.pixels), image.alpha, image.path)
    picture = Pillow.fromarray(np.ascontiguousarray(image.pixels))
    if image.alpha is not None and options["format"] != "JPEG":
        picture = Pillow.fromarray(np.dstack([straight(image.pixels, image.alpha), image.alpha]))
    with replacing(path) as temporary:
        picture.save(temporary, **options, **_labelling(options["format"], label))
    return path


def _labelling(format_: str, label: AigcLabel | None) -> dict[str, Any]:
    if label is None:
        return {}
    packet = metadata.as_xmp(metadata.as_text(label))
    if format_ != "PNG":
        return {"xmp": packet}
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet.decode())
    return {"pnginfo": text}


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises: RequestError if something is at `path` and must be kept."""
    if not overwrite and path.exists():
        raise RequestError(f"{str(path)!r} exists already; choose another name or allow overwriting")


def straight(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Colours before they were composited over black; black where nothing of them is left."""
    opacity = np.maximum(alpha, 1).astype(np.uint16)[..., None]
    return np.minimum((pixels.astype(np.uint16) * 255 + opacity // 2) // opacity, 255).astype(np.uint8)


class PictureFrames(StoredFrames):
    """The pictures of a folder as frames, read when they are sliced. All must have the size of the first."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        first = read_image(self._paths[0])
        self.has_alpha = first.alpha is not None
        self._shape = (len(self._paths), first.height, first.width, 3)
        for path in self._paths[1:]:
            with open_picture(path) as picture, explained(path):
                self._check(path, *_upright_size(picture))

    def _decode(self, start: int, into: Pixels) -> None:
        for at, path in enumerate(self._paths[start : start + len(into)]):
            pixels = read_image(path).pixels
            self._check(path, pixels.shape[1], pixels.shape[0])
            into[at] = pixels

    def _check(self, path: Path, width: int, height: int) -> None:
        _, first_height, first_width, _ = self._shape
        if (width, height) != (first_width, first_height):
            raise InvalidMedia(
                f"{path.name!r} is {width}x{height}, but {self._paths[0].name!r} is "
                f"{first_width}x{first_height}; the pictures of a clip must have one size"
            )


def _upright_size(picture: PillowImage) -> tuple[int, int]:
    orientation_tag, turned = 0x0112, {5, 6, 7, 8}
    width, height = picture.size
    return (height, width) if picture.getexif().get(orientation_tag) in turned else (width, height)


class AnimatedFrames(StoredFrames):
    """The frames of an animated WebP or AVIF, by Pillow; slices in a row decode each frame once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._picture = open_picture(path)
        with explained(path):
            self.has_alpha = seen(self._picture)[1] is not None
        num_frames = getattr(self._picture, "n_frames", 1)
        self._shape = (num_frames, self._picture.height, self._picture.width, 3)

    def __reduce__(self) -> tuple[Any, ...]:
        return AnimatedFrames, (self._path,)

    def ends_s(self) -> NDArray[np.float64]:
        """When each frame goes away again; decodes them all. Units: seconds. Raises: InvalidMedia."""
        milliseconds = []
        with self._lock, explained(self._path):
            for number in range(len(self)):
                self._picture.seek(number)
                self._picture.load()
                milliseconds.append(self._picture.info.get("duration") or DEFAULT_DURATION_MS)
        return np.cumsum(milliseconds) / 1000

    def _decode(self, start: int, into: Pixels) -> None:
        with self._lock, explained(self._path):
            for at in range(len(into)):
                self._picture.seek(start + at)
                into[at] = seen(self._picture)[0]
