"""From a clip to a file or folder, its format chosen by the suffix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitascope.atomic import check_folder, check_writable, replacing, replacing_folder
from vitascope.clip import Clip, Pixels
from vitascope.errors import RequestError, RunError
from vitascope.labels import credentials, metadata, visible
from vitascope.labels.policy import Policy, labelled
from vitascope.media._colour import to_yuv420
from vitascope.media._gif import encode_gif, within_gif_rate
from vitascope.media._lossless import window_length
from vitascope.media._pictures import WRITTEN_AS, refuse_existing
from vitascope.media._sound import SoundTrack
from vitascope.media._tags import AIGC_TAG, FOLDER_FILE, FPS_TAG, RECIPE_FILE, RECIPE_TAG, Tags, tags_for
from vitascope.media.geometry import even_size
from vitascope.recipe import Stage
from vitascope.settings import Settings

if TYPE_CHECKING:
    from vitascope.context import Context

FRAME_NAME = "frame_{:06d}.png"


@dataclass(frozen=True)
class VideoFormat:
    """A container with the codecs that we put into it."""

    container: str
    codec: str
    sound_codec: str
    crf: int
    max_crf: int
    options: tuple[tuple[str, str], ...] = ()
    container_options: tuple[tuple[str, str], ...] = ()


_MP4 = VideoFormat(
    "mp4",
    "libx264",
    "aac",
    crf=18,
    max_crf=51,
    # Without macroblock trees: x264's AVX-512 code for them reads beyond a row of blocks, so that the same frames
    # became another file in one run of five (seen at 64x64, 424x240, 848x480; not where 128 divides the width).
    options=(("preset", "medium"), ("x264-params", "mbtree=0")),
    container_options=(("movflags", "faststart+use_metadata_tags"),),
)
VIDEO_FORMATS = {
    ".mp4": _MP4,
    ".mov": replace(_MP4, container="mov"),
    ".mkv": replace(_MP4, container="matroska", container_options=()),
    ".webm": VideoFormat(
        "webm",
        "libvpx-vp9",
        "libopus",
        crf=24,
        max_crf=63,
        options=(("deadline", "good"), ("cpu-used", "4"), ("row-mt", "1"), ("b", "0")),
    ),
}
ALLOWED = (*VIDEO_FORMATS, ".gif", ".png")


def check_target(path: str | Path, num_frames: int | None = None) -> None:
    """Look, before a long run, whether a clip of `num_frames` could be written to `path`.

    Raises: RequestError for a suffix, a length or a folder that `write` refuses, NotFound, ResourceError.
    """
    path = Path(path)
    check_writable(path)
    suffix = _suffix(path)
    if suffix == ".png" and num_frames is not None:
        _check_one_frame(num_frames)
    if not suffix:
        check_folder(path, path.is_dir() and _holds_only_our_frames(path))


def _suffix(path: Path) -> str:
    """The format that a path asks for: a suffix, empty for a folder. Raises: RequestError."""
    suffix = "" if path.is_dir() else path.suffix.lower()
    if suffix not in ("", *ALLOWED):
        allowed = ", ".join(ALLOWED)
        raise RequestError(
            f"cannot write a clip as {path.suffix!r}; use one of {allowed}, or a folder's name"
        )
    return suffix


def _check_one_frame(num_frames: int) -> None:
    if num_frames != 1:
        raise RequestError(
            f"a .png holds one frame and the clip has {num_frames}; write .gif, .mp4 or a folder"
        )


def write(
    clip: Clip,
    path: str | Path,
    *,
    crf: int | None = None,
    overwrite: bool = True,
    context: Context | None = None,
    label: str | None = None,
) -> Path:
    """Write a clip in the format of the suffix, its recipe in the file's metadata.

    .mp4 .mov .mkv: H.264 with AAC; .webm: VP9 with Opus; .gif: a palette made for the clip, no sound;
    .png: a clip of one frame; no suffix, or a folder: one PNG a frame, sound left out. `crf` is the quality
    of videos, smaller is better (H.264 0..51, 18 if not given; VP9 0..63, 24). The mask is not written.

    Videos with an odd side get one more row or column, a copy of the last; this and all else that was
    changed stands in the recipe's notes. Nothing appears at `path` until the whole is written.

    A clip whose recipe says that it is labelled carries its labels: the visible mark on its first 2 seconds, the
    metadata, the signed credentials. `label` (cn, c2pa, cn,c2pa) adds some; none can be taken away.

    Raises: RequestError for another suffix, a crf out of range or, without `overwrite`, an existing file;
    NotFound, DiskFull, ResourceError, InvalidMedia (frames that cannot be read), JobCancelled.
    """
    path = Path(path)
    suffix = _suffix(path)
    _check_crf(crf, VIDEO_FORMATS.get(suffix), suffix)
    if suffix:
        refuse_existing(path, overwrite)
    settings = context.settings if context is not None else Settings.from_environment()
    if label is not None:
        clip = labelled(clip, Policy.of(label), settings)
    job = _Job(visible.with_mark(clip), path, context)
    if not clip.recipe.labels.c2pa:
        return _write_as(job, suffix, crf, overwrite)
    credentials.check(path, settings)
    with replacing(path) as unsigned:
        _write_as(replace(job, path=unsigned), suffix, crf, overwrite=True)
        credentials.sign(unsigned, clip.recipe, settings, title=path.name)
    return path


def _write_as(job: _Job, suffix: str, crf: int | None, overwrite: bool) -> Path:
    format_ = VIDEO_FORMATS.get(suffix)
    if format_ is not None:
        return _write_video(job, format_, format_.crf if crf is None else crf)
    if suffix == ".gif":
        return _write_gif(job)
    return _write_png(job) if suffix == ".png" else _write_folder(job, overwrite)


def _check_crf(crf: int | None, format_: VideoFormat | None, suffix: str) -> None:
    if crf is None:
        return
    if format_ is None:
        raise RequestError(
            f"crf is the quality of videos; {suffix or 'a folder'} is written without loss by it"
        )
    if not 0 <= crf <= format_.max_crf:
        raise RequestError(f"crf must be in 0..{format_.max_crf} for {suffix}, not {crf}", param="crf")


@dataclass(frozen=True)
class _Job:
    """A clip on its way to a path; `context` hears how far it is and may cancel."""

    clip: Clip
    path: Path
    context: Context | None

    def frames(self) -> Iterator[Pixels]:
        """The frames one by one, a window in memory at a time. Raises: JobCancelled."""
        for start, frames in self.clip.windows(window_length(self.clip)):
            for number, frame in enumerate(frames, start + 1):
                yield frame
                if self.context is not None:
                    self.context.progress("write", number, self.clip.num_frames)

    def tags(self, **notes: Any) -> Tags:
        """The recipe as it goes into the file, with what writing changed."""
        recipe = self.clip.recipe
        if notes:
            if not recipe.stages:
                recipe = recipe.then(Stage(kind="file", name=self.path.name))
            recipe = recipe.with_note("written", notes)
        return tags_for(recipe, self.clip.fps)


def _write_video(job: _Job, format_: VideoFormat, crf: int) -> Path:
    import av

    with replacing(job.path) as temporary:
        container = av.open(
            f"file:{temporary}",
            "w",
            format=format_.container,
            container_options=dict(format_.container_options),
        )
        try:
            with container:
                _encode(job, container, format_, crf)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise RunError(f"encoding {job.path.name!r} failed: {error.strerror}") from error
    return job.path


def _encode(job: _Job, container: Any, format_: VideoFormat, crf: int) -> None:
    from av.video.reformatter import VideoReformatter

    clip, reformatter = job.clip, VideoReformatter()
    stream = _video_stream(clip, container, format_, crf)
    notes: dict[str, Any] = {}
    pad = (stream.height - clip.height, stream.width - clip.width)
    if any(pad):
        notes["padded"] = {"bottom": pad[0], "right": pad[1], "from": [clip.width, clip.height]}
    sound = None
    if clip.audio is not None:
        sound = SoundTrack(container, format_.sound_codec, clip.audio, clip.duration_s)
        if sound.cut_s > float(1 / clip.fps):
            notes["sound_cut_s"] = round(sound.cut_s, 3)
    if clip.mask is not None:
        notes["mask"] = "left out"
    container.metadata.update(job.tags(**notes))
    for number, frame in enumerate(job.frames()):
        padded = np.pad(frame, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge") if any(pad) else frame
        picture = to_yuv420(padded, reformatter)
        picture.pts, picture.time_base = number, 1 / clip.fps
        container.mux(stream.encode(picture))
        if sound is not None:
            sound.write_until(float((number + 1) / clip.fps))
    container.mux(stream.encode(None))
    if sound is not None:
        sound.finish()


def _video_stream(clip: Clip, container: Any, format_: VideoFormat, crf: int) -> Any:
    """A stream whose colours are tagged as what `to_yuv420` makes. Source: ITU-T H.273, code points."""
    bt709, limited_range = 1, 1
    stream = container.add_stream(
        format_.codec, rate=clip.fps, options={**dict(format_.options), "crf": str(crf)}
    )
    stream.width, stream.height = even_size(clip.width, clip.height)
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.thread_type = "FRAME"  # slices, PyAV's own choice, keep few cores busy in a picture of this height
    codec.time_base = 1 / clip.fps
    codec.colorspace = codec.color_primaries = codec.color_trc = bt709
    codec.color_range = limited_range
    return stream


def _write_gif(job: _Job) -> Path:
    clip, timeline = within_gif_rate(job.clip)
    notes: dict[str, Any] = {}
    if timeline is not None:
        notes["resampled"] = {
            "fps": str(clip.fps),
            "from": str(job.clip.fps),
            "because": "GIF's highest rate",
        }
    if clip.audio is not None:
        notes["sound"] = "left out"
    job = replace(job, clip=clip)
    with replacing(job.path) as temporary:
        encode_gif(job.frames(), clip, temporary, job.tags(**notes))
    return job.path


def _png_options(tags: Tags) -> dict[str, Any]:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for key, value in tags.items():
        if key == AIGC_TAG:
            text.add_itxt("XML:com.adobe.xmp", metadata.as_xmp(value).decode())
        else:
            text.add_itxt(key, value)
    return {**WRITTEN_AS[".png"], "pnginfo": text}


def _write_png(job: _Job) -> Path:
    from PIL import Image as Pillow

    _check_one_frame(job.clip.num_frames)
    (frame,) = job.frames()
    with replacing(job.path) as temporary:
        Pillow.fromarray(np.ascontiguousarray(frame)).save(temporary, **_png_options(job.tags()))
    return job.path


def _write_folder(job: _Job, overwrite: bool) -> Path:
    from PIL import Image as Pillow

    is_ours = job.path.is_dir() and _holds_only_our_frames(job.path)
    if is_ours:
        refuse_existing(job.path, overwrite)
    tags = job.tags(**({"sound": "left out"} if job.clip.audio is not None else {}))
    label = {key: value for key, value in tags.items() if key == AIGC_TAG}
    with replacing_folder(job.path, is_ours) as folder:
        for number, frame in enumerate(job.frames()):
            picture = Pillow.fromarray(np.ascontiguousarray(frame))
            picture.save(folder / FRAME_NAME.format(number), **_png_options(label))
        (folder / RECIPE_FILE).write_text(tags[RECIPE_TAG], encoding="utf-8")
        about = {"fps": tags[FPS_TAG], **{key: json.loads(value) for key, value in label.items()}}
        (folder / FOLDER_FILE).write_text(json.dumps(about), encoding="utf-8")
    return job.path


def _holds_only_our_frames(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    frames = {FRAME_NAME.format(number) for number in range(len(names))}
    return {RECIPE_FILE, FOLDER_FILE} <= names and names <= {RECIPE_FILE, FOLDER_FILE} | frames
