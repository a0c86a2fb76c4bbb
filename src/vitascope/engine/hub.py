"""Models of the Hugging Face Hub: their small files for checking, their weights for running."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitascope.engine import modelscope
from vitascope.engine.downloads import (
    Listener,
    RemoteFile,
    as_text,
    check_disk,
    fetch_file,
    is_network,
    sha256_of,
    unheard,
)
from vitascope.errors import DiskFull, NoNetwork, UnknownName, VitascopeError, WeightsMissing

logger = logging.getLogger(__name__)

CONFIG_FILES = [
    "model_index.json",
    "vitascope.json",
    "*/config.json",
    "*/scheduler_config.json",
    "*/guider_config.json",
]
OTHER_FORMATS = ["*.onnx*", "*.msgpack", "*.h5", "*.gguf", "*.fp16.*", "*.non_ema.*", "*flax*", "*openvino*"]
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
IN_DIFFUSERS_LAYOUT = (*SMALL_FILES, "*/*")
GLOB = set("*?[")
TOO_MANY = 429
PICKLED = (".bin", ".pt", ".ckpt")


@dataclass(frozen=True)
class Plan:
    """What a download of a repository comes to. `missing` are those of its `files` that are not here yet."""

    repo: str
    revision: str | None
    commit: str
    files: tuple[RemoteFile, ...]
    missing: tuple[RemoteFile, ...]
    patterns: tuple[str, ...]
    cache: Path

    @property
    def missing_bytes(self) -> int:
        """How much there is to fetch."""
        return sum(file.size for file in self.missing)


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
    if isinstance(index, str) and any(Path(index).parent.glob("*/config.json")):
        return Path(index).parent
    return modelscope.fetched(repo) if revision is None else None


def _cached_weights(repo: str, revision: str | None) -> Path | None:
    folder = _cached_configs(repo, revision)
    has_some = folder is not None and any(any(folder.glob(f"*/*{end}")) for end in (".safetensors", ".bin"))
    return folder if has_some else None


def fetch_weights(repo: str, revision: str | None, *, offline: bool, without: tuple[str, ...] = ()) -> Path:
    """A folder with the whole model, from the cache or downloaded (only what is missing).

    Raises: NoNetwork, WeightsMissing, DiskFull, UnknownName.
    """
    cached = _cached_weights(repo, revision)
    if offline or (cached is not None and cached == modelscope.fetched(repo)):
        if cached is None:
            raise _not_here(repo)
        return cached
    ignored = [f"{part}/*{end}" for part in without for end in (".safetensors", ".bin")]
    try:
        return fetch(plan(repo, revision, ignored=ignored))
    except NoNetwork:
        if cached is None:
            raise
        return cached


def plan(
    repo: str,
    revision: str | None = None,
    patterns: Sequence[str] = IN_DIFFUSERS_LAYOUT,
    ignored: Sequence[str] = (),
) -> Plan:
    """What there is to fetch of a repository: files that match `patterns`, no second copies in other formats.

    Raises: NoNetwork, WeightsMissing for a gated repository, UnknownName.
    """
    from huggingface_hub import HfApi, constants, hf_hub_url, try_to_load_from_cache

    with _explained(repo, revision, offline=False):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True)
    offered = [
        RemoteFile(
            name=file.rfilename,
            size=file.size or 0,
            url=hf_hub_url(repo, file.rfilename, revision=info.sha),
            sha256=file.lfs.sha256 if file.lfs else None,
        )
        for file in info.siblings or ()
    ]
    files = tuple(wanted(offered, patterns, ignored))
    missing = tuple(
        file
        for file in files
        if not isinstance(try_to_load_from_cache(repo, file.name, revision=info.sha), str)
    )
    names = tuple(file.name for file in files)
    return Plan(repo, revision, info.sha or "", files, missing, names, Path(constants.HF_HUB_CACHE))


def wanted(
    files: Sequence[RemoteFile], patterns: Sequence[str], ignored: Sequence[str] = ()
) -> list[RemoteFile]:
    """Choose the files that match `patterns`, leaving out second copies of the same weights in other formats."""
    from huggingface_hub.utils import filter_repo_objects

    unwanted = [*OTHER_FORMATS, *ignored, *_pickled_twins([file.name for file in files])]
    return list(
        filter_repo_objects(
            files, allow_patterns=list(patterns), ignore_patterns=unwanted, key=lambda file: file.name
        )
    )


def fetch(download: Plan, listen: Listener = unheard, *, said: bool = False) -> Path:
    """The folder with all files of a plan, fetched as far as they are missing; large ones go on where they stopped.

    What is fetched is told to the log, with its size and where it comes from, unless it was `said` already.
    Raises: NoNetwork, WeightsMissing, DiskFull; WeightsMissing also for a file that arrived damaged.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import build_hf_headers

    repo = download.repo
    if download.missing:
        check_disk(download.missing, download.cache, repo)
    if download.missing and not said:
        logger.warning(
            "downloading %s: %s in %d files from %s to %s",
            *(
                repo,
                as_text(download.missing_bytes),
                len(download.missing),
                constants.ENDPOINT,
                download.cache,
            ),
        )
    blobs = download.cache / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
    with _explained(repo, download.revision, offline=False):
        for file in download.missing:
            if file.sha256:
                # Under the name that the hub's client looks for, which then links it and does not fetch it.
                fetch_file(file, blobs / file.sha256, build_hf_headers(), listen)
            else:
                listen(file.size)
        snapshot = snapshot_download(
            repo, revision=download.revision, allow_patterns=list(download.patterns) or None
        )
    return Path(snapshot)


def damaged(download: Plan) -> list[RemoteFile]:
    """The files of a plan that are here and are not what the hub has; they are removed from the cache.

    Reads every large file in full.
    """
    from huggingface_hub import try_to_load_from_cache

    found = []
    for file in download.files:
        path = try_to_load_from_cache(download.repo, file.name, revision=download.commit)
        if not isinstance(path, str):
            continue
        whole = Path(path).stat().st_size == file.size
        if not whole or (file.sha256 and sha256_of(Path(path)) != file.sha256):
            found.append(file)
            Path(path).resolve().unlink()
            Path(path).unlink(missing_ok=True)
    return found


def fetch_files(repo: str, patterns: tuple[str, ...], revision: str | None = None, *, offline: bool) -> Path:
    """A folder with the files of a repository that match `patterns`: for parts published on their own.

    Names without wildcards must be there.

    Raises: NoNetwork, WeightsMissing, DiskFull, UnknownName.
    """
    cached = modelscope.fetched(repo) if revision is None else None
    if cached is None and (offline or _all_here(repo, patterns, revision)):
        cached = _from_cache(repo, revision, patterns, offline)
    try:
        folder = cached or fetch(plan(repo, revision, patterns))
    except NoNetwork:
        folder = _from_cache(repo, revision, patterns, offline)
    missing = [name for name in patterns if not set(name) & GLOB and not (folder / name).is_file()]
    if missing:
        raise _not_here(repo) if offline else WeightsMissing(f"{repo!r} on the hub has no {missing[0]!r}")
    return folder


def _from_cache(repo: str, revision: str | None, patterns: Sequence[str], offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    with _explained(repo, revision, offline):
        return Path(
            snapshot_download(repo, revision=revision, allow_patterns=list(patterns), local_files_only=True)
        )


def _all_here(repo: str, names: Sequence[str], revision: str | None) -> bool:
    """Whether an earlier download left all files of these names, so that nobody has to be asked."""
    from huggingface_hub import try_to_load_from_cache

    exact = all(not set(name) & GLOB for name in names)
    return exact and all(
        isinstance(try_to_load_from_cache(repo, name, revision=revision), str) for name in names
    )


def _pickled_twins(names: Sequence[str]) -> list[str]:
    """Pickled files beside safetensors of the same part."""
    safe = {Path(name).parent for name in names if name.endswith(".safetensors")}
    return [name for name in names if Path(name).suffix in PICKLED and Path(name).parent in safe]


def _not_here(repo: str) -> NoNetwork:
    return NoNetwork(
        f"the model {repo!r} is not on this machine and downloading is off; "
        "unset HF_HUB_OFFLINE and VITASCOPE_OFFLINE, or give a local folder"
    )


@contextmanager
def _explained(repo: str, revision: str | None, offline: bool) -> Iterator[None]:
    """The hub's many errors as ours, one line each; its progress bars, of small files alone, stay off."""
    from huggingface_hub import errors
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    except VitascopeError:
        raise
    except errors.GatedRepoError as error:
        raise WeightsMissing(
            f"{repo!r} is gated: accept its licence at https://huggingface.co/{repo}, then run: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        unknown = UnknownName("model on the hub", repo, (), param="model")
        unknown.args = (f"the hub has no {repo!r}, or it is private: check the name, or run: hf auth login",)
        raise unknown from error
    except errors.RevisionNotFoundError as error:
        raise UnknownName(f"revision of {repo}", str(revision), (), param="revision") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if offline:
            raise _not_here(repo) from error
        raise _unreachable(repo, _status(error)) from error
    except errors.HfHubHTTPError as error:
        status = _status(error)
        if status in (401, 403):
            raise WeightsMissing(
                f"{repo!r}: the hub refuses it (HTTP {status}); run: hf auth login"
            ) from error
        raise _unreachable(repo, status) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left while {repo!r} was downloaded; free some room and try again"
            ) from error
        raise _unreachable(repo) from error
    except Exception as error:
        if is_network(error):
            raise _unreachable(repo) from error
        raise
    finally:
        if bars:
            enable_progress_bars()


def _unreachable(repo: str, status: int | None = None) -> NoNetwork:
    from huggingface_hub import constants

    if status is not None:
        asked = "too many requests" if status == TOO_MANY else "it has a fault"
        return NoNetwork(
            f"{repo!r} is not on this machine and {constants.ENDPOINT} answers HTTP {status} ({asked}); try again "
            "later, set HF_ENDPOINT to another mirror, or give a local folder"
        )
    return NoNetwork(
        f"{repo!r} is not on this machine and the hub could not be reached ({constants.ENDPOINT}); go online or give "
        "a local folder"
    )


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error of the hub's client, which may wrap another."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return int(status)
        error = error.__cause__
    return None
