"""Models of ModelScope, for those who cannot reach the Hugging Face Hub.

Source: the endpoints that modelscope_hub 0.5.1 asks, Apache-2.0: `/api/v1/models/ID/repo/files` lists a
repository with sizes and SHA-256, `/api/v1/models/ID/repo?FilePath=` gives a file.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlencode

from vitascope.engine.downloads import Listener, RemoteFile, check_disk, fetch_file, is_network, unheard
from vitascope.errors import NoNetwork, UnknownName, WeightsMissing
from vitascope.settings import Settings

REVISION = "master"
OWNERS = {"zai-org": "ZhipuAI", "THUDM": "ZhipuAI", "alibaba-pai": "PAI"}
OTHER_IDS = {
    "stabilityai/stable-video-diffusion-img2vid-xt": "AI-ModelScope/stable-video-diffusion-img2vid-xt",
}
"""Publishers who go by another name on ModelScope, as their own READMEs link them."""

COMPLETE = ".complete"


def name_there(repo: str) -> str:
    """The id that a model of the hub has on ModelScope; most have the same."""
    owner, _, name = repo.partition("/")
    return OTHER_IDS.get(repo) or (f"{OWNERS[owner]}/{name}" if owner in OWNERS else repo)


def folder_of(repo: str) -> Path:
    """Where a model is kept that was fetched from ModelScope, by its id on the hub."""
    return Settings.from_environment().home / "modelscope" / repo


def fetched(repo: str) -> Path | None:
    """The folder of a model that was fetched whole from ModelScope; None if there is none."""
    folder = folder_of(repo)
    return folder if (folder / COMPLETE).is_file() else None


def files_of(repo: str, revision: str | None = None) -> list[RemoteFile]:
    """The files of a repository. Raises: UnknownName, NoNetwork, WeightsMissing for one that must be asked for."""
    from huggingface_hub import get_session

    endpoint = Settings.from_environment().modelscope_endpoint
    query = urlencode({"Revision": revision or REVISION, "Recursive": "True"})
    address = f"{endpoint}/api/v1/models/{quote(repo)}/repo"
    try:
        response = get_session().get(f"{address}/files?{query}", follow_redirects=True)
        answer = response.json() if response.content else {}
    except Exception as error:
        raise NoNetwork(f"{repo!r}: ModelScope at {endpoint} could not be reached; try again") from error
    if response.status_code in (401, 403):
        raise WeightsMissing(
            f"{repo!r} is gated: accept its licence at {endpoint}/models/{repo}, then try again"
        )
    if response.status_code == 404 or not answer.get("Data"):
        unknown = UnknownName("model on ModelScope", repo, (), param="model")
        unknown.args = (f"ModelScope has no {repo!r}; if it has another id there, give it with --repo",)
        raise unknown
    return [
        RemoteFile(
            name=entry["Path"],
            size=entry["Size"],
            url=f"{address}?{urlencode({'Revision': revision or REVISION, 'FilePath': entry['Path']})}",
            sha256=entry.get("Sha256") or None,
        )
        for entry in answer["Data"].get("Files") or ()
        if entry.get("Type") != "tree"
    ]


def fetch(repo: str, files: list[RemoteFile], listen: Listener = unheard) -> Path:
    """A folder with these files of a repository, fetched as far as they are missing.

    Raises: DiskFull, NoNetwork, WeightsMissing for a file that arrived damaged.
    """
    folder = folder_of(repo)
    check_disk([file for file in files if not (folder / file.name).exists()], folder, repo)
    for file in files:
        if ".." in Path(file.name).parts or Path(file.name).is_absolute():
            raise WeightsMissing(
                f"{repo!r} names a file outside its folder: {file.name!r}; nothing was fetched"
            )
    for file in files:
        try:
            fetch_file(file, folder / file.name, {}, listen)
        except Exception as error:
            if not is_network(error):
                raise
            raise NoNetwork(
                f"{repo!r}: {file.name} could not be fetched from ModelScope; run the command again to go on"
            ) from error
    (folder / COMPLETE).touch()
    return folder
