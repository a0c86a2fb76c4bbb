"""Clips and captions encoded once and kept by content, so that encoders are never in memory while training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vitascope.atomic import ready_folder, write_bytes
from vitascope.clip import Pixels
from vitascope.context import Context
from vitascope.errors import InvalidMedia, RequestError
from vitascope.training.dataset import Bucket, Collection, Sample, file_hash, frames_for
from vitascope.training.families.base import Encoded, Family
from vitascope.training.recipe import VideoShape

KEPT_GIB = 4.0
"""Encoded clips that stay in main memory; beyond, they are read from disk when drawn."""


@dataclass(frozen=True)
class Item:
    """An encoded clip: where its latents lie, under which key its caption."""

    latents: Path
    caption: Path
    source: int
    bucket: Bucket
    sample: Sample
    mirrored: bool = False


@dataclass
class EncodedData:
    """All that training reads, and what was left out."""

    items: list[Item]
    empty: Path
    prompts: dict[str, Path] = field(default_factory=dict)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    _kept: dict[Path, Encoded] = field(default_factory=dict)
    _bytes: int = 0

    def read(self, path: Path) -> Encoded:
        """The tensors of one cached file."""
        from safetensors.torch import load_file

        found = self._kept.get(path)
        if found is None:
            found = load_file(path)
            self._bytes += path.stat().st_size
            if self._bytes < KEPT_GIB * 2**30:
                self._kept[path] = found
        return found

    def content_hash(self) -> str:
        """A hash of all clips and captions with their order."""
        names = [(i.latents.name, i.caption.name, i.source) for i in self.items]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()


@dataclass(frozen=True)
class Encoders:
    """What encodes, loaded when first needed and let go afterwards.

    `load(part)` gives the VAE ("vae") or a pipeline with its text encoders ("prompts"); `marks` say which
    weights these are.
    """

    family: Family
    load: Callable[[str], Any]
    marks: dict[str, str]
    max_length: int | None = None


def key_of(*parts: Any) -> str:
    """A file name for what was made of these parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:40]


def encode_all(
    found: Collection,
    buckets: tuple[Bucket, ...],
    shape: VideoShape,
    encoders: Encoders,
    prompts: Iterable[str],
    folder: Path,
    context: Context,
) -> EncodedData:
    """Encode every clip and caption that the cache does not hold.

    A clip that cannot be read is named in a warning, left out and counted.
    Raises: RequestError if none is left, DiskFull, JobCancelled.
    """
    ready_folder(folder)
    data = EncodedData([], Path(), left_out=list(found.left_out))
    placed = _encode_clips(found.samples, buckets, shape, encoders, folder, context, data.left_out)
    for path, reason in data.left_out:
        context.warn(f"left out {path.name!r}: {reason}")
    if not placed:
        first = "".join(f", first {path.name!r}: {reason}" for path, reason in data.left_out[:1])
        raise RequestError(f"all {len(data.left_out)} clips were left out{first}", param="data")
    wanted = ["", *prompts, *(sample.caption for sample, *_ in placed)]
    captions = _encode_prompts(wanted, encoders, folder, context)
    data.empty = captions[""]
    data.prompts = captions
    data.items = [
        Item(latents, captions[sample.caption], sample.source, bucket, sample, mirrored)
        for sample, bucket, latents, mirrored in placed
    ]
    return data


def _encode_clips(
    samples: list[Sample],
    buckets: tuple[Bucket, ...],
    shape: VideoShape,
    encoders: Encoders,
    folder: Path,
    context: Context,
    left_out: list[tuple[Path, str]],
) -> list[tuple[Sample, Bucket, Path, bool]]:
    vae: Any = None
    placed = []
    for number, sample in enumerate(samples):
        context.progress("encode clips", number, len(samples))
        try:
            for mirrored in (False, True) if sample.may_flip else (False,):
                said = (encoders.marks["vae"], type(encoders.family).__name__, encoders.family.from_image)
                key = key_of(file_hash(sample.path), buckets, shape.start, shape.fps, mirrored, said)
                path, note = folder / f"{key}.safetensors", folder / f"{key}.json"
                if not (path.is_file() and note.is_file()):
                    bucket, frames = frames_for(sample.path, buckets, shape)
                    vae = encoders.load("vae") if vae is None else vae
                    _write(path, _encoded(encoders.family, vae, frames[:, :, ::-1] if mirrored else frames))
                    write_bytes(note, json.dumps(bucket).encode())
                width, height, count = json.loads(note.read_text())
                placed.append((sample, (width, height, count), path, mirrored))
        except InvalidMedia as error:
            left_out.append((sample.path, str(error)))
    context.progress("encode clips", len(samples), len(samples))
    return placed


@torch.no_grad()
def _encoded(family: Family, vae: Any, frames: Pixels) -> Encoded:
    pixels = torch.from_numpy(frames.copy()).to(vae.device)
    return family.encode_clip(vae, pixels.permute(3, 0, 1, 2)[None].float() / 127.5 - 1)


@torch.no_grad()
def _encode_prompts(
    wanted: Iterable[str], encoders: Encoders, folder: Path, context: Context
) -> dict[str, Path]:
    texts = list(dict.fromkeys(wanted))
    said = (encoders.marks["prompts"], type(encoders.family).__name__, encoders.max_length)
    paths = {text: folder / f"{key_of(text, said)}.safetensors" for text in texts}
    missing = [text for text in texts if not paths[text].is_file()]
    pipeline = encoders.load("prompts") if missing else None
    for number, text in enumerate(missing):
        context.progress("encode captions", number, len(missing))
        _write(paths[text], encoders.family.encode_prompt(pipeline, text, encoders.max_length))
    return paths


def _write(path: Path, tensors: Encoded) -> None:
    from safetensors.torch import save

    write_bytes(path, save({name: t.cpu().contiguous() for name, t in tensors.items()}))
