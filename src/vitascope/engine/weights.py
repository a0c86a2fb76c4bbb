"""From what a model is called to its files on this machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vitascope.engine import gguf_files, hub
from vitascope.engine.tensor_files import WEIGHT_SUFFIXES, check_whole
from vitascope.errors import DependencyMissing, InvalidMedia, NotFound, WeightsMissing

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
VARIANT = re.compile(r"\.(fp16|bf16)[.-]")
SMALL_FILE = 64 * 2**20  # hashed whole; of larger files three samples are hashed
SAMPLE = 64 * 2**10


@dataclass(frozen=True)
class Source:
    """Where a model's files come from: the embedded package, a local folder, a single file or the hub."""

    kind: Literal["embedded", "folder", "file", "hub"]
    name: str
    revision: str | None = None


@dataclass(frozen=True)
class Configs:
    """The small JSON files of a model in diffusers layout; a file that is not there reads as empty."""

    index: Mapping[str, Any] = field(default_factory=dict)
    components: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vitascope: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pipeline(self) -> str | None:
        """The pipeline class that model_index.json names."""
        return self.index.get("_class_name")

    def component(self, name: str) -> Mapping[str, Any]:
        """The configuration of one component, such as "transformer", "vae" or "scheduler"."""
        return self.components.get(name, {})


def find_source(model: str, revision: str | None = None) -> Source | None:
    """What kind of thing `model` names; None if it is neither a path nor a hub id.

    Raises: NotFound for a path with nothing there.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return Source("folder", str(path))
    if path.is_file():
        return Source("file", str(path))
    names_a_file = path.suffix in (*WEIGHT_SUFFIXES, gguf_files.SUFFIX)
    looks_like_path = path.is_absolute() or model.startswith((".", "~")) or names_a_file
    if looks_like_path or "\\" in model:
        raise NotFound(f"no file or folder {model!r}", param="model")
    return Source("hub", model, revision) if HUB_ID.fullmatch(model) else None


def embedded(name: str) -> Source:
    """The weights called `name` in vitascope-embedded. Raises: DependencyMissing, WeightsMissing."""
    try:
        import vitascope_embedded
    except ImportError as error:
        raise DependencyMissing("vitascope-embedded", "embedded", f"the model {name!r}") from error
    path = Path(vitascope_embedded.path(name))
    if not path.is_dir():
        raise WeightsMissing(
            f"vitascope-embedded has no model {name!r}; run: pip install -U vitascope-embedded"
        )
    return Source("embedded", str(path))


def read_configs(source: Source, *, offline: bool) -> Configs:
    """The model's small JSON files; of a hub model they alone are fetched.

    Raises: InvalidMedia for a file that is not JSON, NoNetwork, WeightsMissing.
    """
    if source.kind == "hub":
        folder = hub.fetch_configs(source.name, source.revision, offline=offline)
    else:
        folder = Path(source.name)
    index = read_json(folder / "model_index.json")
    components = {}
    for name in _component_names(index):
        for file in ("config.json", "scheduler_config.json", "guider_config.json"):
            if (folder / name / file).is_file():
                components[name] = read_json(folder / name / file)
    return Configs(index, components, read_json(folder / "vitascope.json"))


def local_path(source: Source, *, offline: bool, without: tuple[str, ...] = ()) -> Path:
    """The folder (or single file) with everything in it, downloaded if it must be.

    `without`: components whose weights are not needed. Raises: NoNetwork, WeightsMissing, DiskFull.
    """
    if source.kind != "hub":
        return Path(source.name)
    return hub.fetch_weights(source.name, source.revision, offline=offline, without=without)


def local_files(name: str, patterns: tuple[str, ...], *, offline: bool) -> Path:
    """The local folder or file called `name`; of a hub id, a folder with its files that match `patterns`.

    For parts published on their own: adapters, ControlNets, extensions.
    Raises: NotFound, UnknownName, NoNetwork, WeightsMissing, DiskFull.
    """
    source = find_source(name)
    if source is None:
        raise NotFound(f"{name!r} is no local file or folder, and no hub id either")
    return Path(source.name) if source.kind != "hub" else hub.fetch_files(name, patterns, offline=offline)


def pipeline_of(path: Path) -> str | None:
    """The pipeline class of a folder in diffusers layout; None if it is none."""
    return read_json(path / "model_index.json").get("_class_name") if path.is_dir() else None


def check_family(configs: Configs, pipelines: tuple[str, ...], model: str) -> None:
    """Raises: InvalidMedia if the model is of another family, WeightsMissing if it is no diffusers folder."""
    if not configs.index:
        raise WeightsMissing(f"{model!r} has no model_index.json; give a folder saved by diffusers")
    if configs.pipeline not in pipelines:
        raise InvalidMedia(
            f"{model!r} holds a {configs.pipeline}, not one of {', '.join(pipelines)}", param="model"
        )


def check_folder(folder: Path, pipelines: tuple[str, ...], without: tuple[str, ...] = ()) -> None:
    """Check that `folder` holds a model of this family with every file that its index names.

    Raises: InvalidMedia (another family, a damaged file), WeightsMissing naming the file.
    """
    index = read_json(folder / "model_index.json")
    check_family(Configs(index), pipelines, str(folder))
    for name in _component_names(index):
        part = folder / name
        if not part.is_dir():
            raise WeightsMissing(f"{str(folder)!r} lacks the folder {name!r} that its model_index.json names")
        if not any(part.iterdir()):
            raise WeightsMissing(f"{str(part)!r} is empty")
        if len(index[name]) != 2:
            raise InvalidMedia(
                f"{str(folder / 'model_index.json')!r} says {name!r}: {index[name]}, not [library, class]",
                param="model",
            )
        if name not in without:
            check_part(part)


def check_part(part: Path) -> None:
    """Check that the weights in a component's folder are whole; a component without weights passes.

    Raises: InvalidMedia (a damaged file), WeightsMissing naming the file.
    """
    if (part / "config.json").is_file():
        quantized = "quantization_config" in read_json(part / "config.json")
        for file in _weight_files_of(part):
            check_whole(file, quantized=quantized)
    elif any(file.suffix in WEIGHT_SUFFIXES for file in part.iterdir()):
        raise WeightsMissing(f"{str(part)!r} has weights but no config.json")


def variant_of(part: Path) -> str | None:
    """ "fp16" or "bf16" where a component's folder holds its weights in that form alone; None for the usual names."""
    names = [file.name for file in part.iterdir() if file.suffix in WEIGHT_SUFFIXES] if part.is_dir() else []
    found = {match[1] if (match := VARIANT.search(name)) else None for name in names}
    return found.pop() if len(found) == 1 else None


def _component_names(index: Mapping[str, Any]) -> list[str]:
    parts = {k: v for k, v in index.items() if not k.startswith("_") and isinstance(v, list)}
    return [name for name, kind in parts.items() if kind and kind[0] is not None]


def _weight_files_of(part: Path) -> list[Path]:
    shards: set[Path] = set()
    for index_file in part.glob("*.index.json"):
        names = set(read_json(index_file).get("weight_map", {}).values())
        missing = sorted(name for name in names if not (part / name).is_file())
        if missing and not index_file.name.startswith("pytorch_model"):
            raise WeightsMissing(
                f"{str(part)!r} lacks {missing[0]!r}, one of {len(names)} files of its weights"
            )
        shards |= {part / name for name in names if (part / name).is_file()}
    files = sorted(shards) or sorted(file for file in part.iterdir() if file.suffix in WEIGHT_SUFFIXES)
    if not files:
        raise WeightsMissing(f"{str(part)!r} has a configuration but no weights (*.safetensors)")
    return files


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty if the file is not there. Raises: InvalidMedia."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise InvalidMedia(f"{str(path)!r} is not a JSON file: {error}") from error
    if not isinstance(data, dict):
        raise InvalidMedia(f"{str(path)!r} must hold a JSON object, not a {type(data).__name__}")
    return data


def fingerprint(path: Path) -> str:
    """A short hash that tells weights apart: the commit of a hub snapshot, else of names, sizes and content.

    Files up to 64 MiB are hashed whole, larger ones by their size and three samples of 64 KiB.
    """
    if path.parent.name == "snapshots":
        return path.name
    digest = hashlib.sha256()
    for file in _relevant_files(path):
        digest.update(
            f"{file.relative_to(path) if file != path else file.name}:{file.stat().st_size}\n".encode()
        )
        _digest_content(file, digest)
    return digest.hexdigest()[:16]


def fingerprints(knobs: Mapping[str, Any]) -> list[str]:
    """Fingerprints of the local files and folders that knobs name: their content may change under the same name."""
    named = (Path(value).expanduser() for value in knobs.values() if isinstance(value, str) and value)
    return [fingerprint(path) for path in named if path.exists()]


def _relevant_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and file.suffix in {".json", *WEIGHT_SUFFIXES}:
            yield file


def _digest_content(file: Path, digest: Any) -> None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= SMALL_FILE:
            while block := stream.read(2**20):
                digest.update(block)
            return
        for start in (0, size // 2, size - SAMPLE):
            stream.seek(start)
            digest.update(stream.read(SAMPLE))
