"""Models of the Hugging Face Hub: their small files for checking, their weights for running."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitascope.errors import DiskFull, NoNetwork, UnknownName, WeightsMissing

CONFIG_FILES = [
    "model_index.json",
    "vitascope.json",
    "*/config.json",
    "*/scheduler_config.json",
    "*/guider_config.json",
]
OTHER_FORMATS = ["*.onnx*", "*.msgpack", "*.h5", "*.gguf", "*.fp16.*", "*.non_ema.*", "*flax*", "*openvino*"]
# The hub's client has changed its own client twice.
HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]


def fetch_configs(repo: str, revision: str | None, *, offline: bool) -> Path:
    """A folder with the JSON files that say what a model is.

    Raises: NoNetwork, WeightsMissing, UnknownName.
    """
    from huggingface_hub import snapshot_download

    if cached := _cached_configs(repo, revision):
        return cached
    with _explained(repo, revision, offline):
        folder = Path(
            snapshot_download(repo, revision=revision, allow_patterns=CONFIG_FILES, local_files_only=offline)
        )
    if not (folder / "model_index.json").is_file():
        if offline:
            raise _not_here(repo)
        raise WeightsMissing(
            f"{repo!r} on the hub has no model_index.json; give one of its files, downloaded"
        )
    return folder


def has_weights(repo: str, revision: str | None = None) -> bool:
    """Whether an earlier download left weights of this model on this machine; asks nobody."""
    return _cached_weights(repo, revision) is not None


def _cached_configs(repo: str, revision: str | None) -> Path | None:
    """The folder of an earlier download: a model that is here is not asked for again to be checked."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(repo, "model_index.json", revision=revision)
    if not isinstance(index, str):
        return None
    folder = Path(index).parent
    return folder if any(folder.glob("*/config.json")) else None


def _cached_weights(repo: str, revision: str | None) -> Path | None:
    folder = _cached_configs(repo, revision)
    has_some = folder is not None and any(any(folder.glob(f"*/*{end}")) for end in (".safetensors", ".bin"))
    return folder if has_some else None


def fetch_weights(repo: str, revision: str | None, *, offline: bool, without: tuple[str, ...] = ()) -> Path:
    """A folder with the whole model, from the cache or downloaded (only what is missing).

    Raises: NoNetwork, WeightsMissing, DiskFull, UnknownName.
    """
    cached = _cached_weights(repo, revision)
    if offline:
        if cached is None:
            raise _not_here(repo)
        return cached
    try:
        return _download(repo, revision, without)
    except NoNetwork:
        if cached is None:
            raise
        return cached


def _download(repo: str, revision: str | None, without: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    ignored = [*OTHER_FORMATS, *(f"{part}/*{end}" for part in without for end in (".safetensors", ".bin"))]
    with _explained(repo, revision, offline=False):
        ignored += _pickled_twins(repo, revision, ignored)
        allowed = [*SMALL_FILES, "*/*"]
        return Path(
            snapshot_download(repo, revision=revision, allow_patterns=allowed, ignore_patterns=ignored)
        )


def fetch_files(repo: str, patterns: tuple[str, ...], revision: str | None = None, *, offline: bool) -> Path:
    """A folder with the files of a repository that match `patterns`: for parts published on their own.

    Raises: NoNetwork, WeightsMissing, DiskFull, UnknownName.
    """
    from huggingface_hub import snapshot_download

    with _explained(repo, revision, offline):
        folder = Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=list(patterns), local_files_only=offline
            )
        )
    missing = [pattern for pattern in patterns if not any(folder.glob(pattern))]
    if missing:
        raise _not_here(repo) if offline else WeightsMissing(f"{repo!r} on the hub has no {missing[0]!r}")
    return folder


def _pickled_twins(repo: str, revision: str | None, ignored: list[str]) -> list[str]:
    """Pickled files of components that have safetensors too; checks the room on disk on the way."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.utils import filter_repo_objects

    info = HfApi().model_info(repo, revision=revision, files_metadata=True)
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    safe = {Path(name).parent for name in files if name.endswith(".safetensors")}
    twins = [
        name for name in files if Path(name).suffix in (".bin", ".pt", ".ckpt") and Path(name).parent in safe
    ]
    wanted = filter_repo_objects(
        files, allow_patterns=[*SMALL_FILES, "*/*"], ignore_patterns=[*ignored, *twins]
    )
    missing = [
        name for name in wanted if not isinstance(try_to_load_from_cache(repo, name, revision=revision), str)
    ]
    needed = sum(files[name] for name in missing)
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise DiskFull(
            f"{repo!r} needs {needed / 2**30:.1f} GiB in {str(cache)!r} and {free / 2**30:.1f} GiB are free; "
            "free some room or set HF_HOME to another disk"
        )
    return twins


def _not_here(repo: str) -> NoNetwork:
    return NoNetwork(
        f"the model {repo!r} is not on this machine and downloading is off; "
        "unset HF_HUB_OFFLINE and VITASCOPE_OFFLINE, or give a local folder"
    )


@contextmanager
def _explained(repo: str, revision: str | None, offline: bool) -> Iterator[None]:
    """The hub's many errors as ours, one line each."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise WeightsMissing(
            f"{repo!r} is gated: accept its licence at https://huggingface.co/{repo}, then run: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownName("model on the hub", repo, (), param="model") from error
    except errors.RevisionNotFoundError as error:
        raise UnknownName(f"revision of {repo}", str(revision), (), param="revision") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if offline:
            raise _not_here(repo) from error
        raise _unreachable(repo) from error
    except errors.HfHubHTTPError as error:
        raise _unreachable(repo) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left while {repo!r} was downloaded; free some room and try again"
            ) from error
        raise _unreachable(repo) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in HTTP_LIBRARIES:
            raise _unreachable(repo) from error
        raise


def _unreachable(repo: str) -> NoNetwork:
    return NoNetwork(
        f"{repo!r} is not on this machine and the hub could not be reached; go online or give a local folder"
    )
