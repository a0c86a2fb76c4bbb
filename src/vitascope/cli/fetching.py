"""What `vitascope pull` does once it knows which repositories a model needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vitascope.engine import hub, modelscope
from vitascope.engine.downloads import Listener, RemoteFile, as_text, check_disk, free_bytes, unheard
from vitascope.errors import NoNetwork, WeightsMissing
from vitascope.generators.base import Part
from vitascope.settings import Settings


def from_hub(parts: Sequence[Part], *, dry_run: bool, check: bool, quiet: bool) -> None:
    """Fetch parts from the hub. Raises: NoNetwork, WeightsMissing (gated, damaged), DiskFull."""
    from huggingface_hub import constants

    _refuse_offline(parts)
    plans = [_planned(part) for part in parts]
    if check:
        for plan in plans:
            broken = hub.damaged(plan)
            print(f"{plan.repo}: {len(plan.files)} files checked, {len(broken)} damaged{_names(broken)}")
        plans = [_planned(part) for part in parts]
    missing = [file for plan in plans for file in plan.missing]
    for plan in plans:
        _say(plan.repo, plan.files, plan.missing, constants.ENDPOINT)
    print(f"into {plans[0].cache}, where {as_text(free_bytes(plans[0].cache))} are free")
    if dry_run:
        return
    check_disk(missing, plans[0].cache, plans[0].repo)
    with _bar(missing, quiet) as listen:
        for plan in plans:
            hub.fetch(plan, listen, said=True)
    checked = sum(file.sha256 is not None for file in missing)
    print(f"fetched {len(missing)} files; sha256 of {checked} large ones is right")


def from_modelscope(
    parts: Sequence[Part], repo: str | None, revision: str | None, *, dry_run: bool, quiet: bool
) -> None:
    """Fetch a model in diffusers layout from ModelScope. Raises: as `from_hub`; UnknownName."""
    _refuse_offline(parts)
    endpoint = Settings.from_environment().modelscope_endpoint
    for index, part in enumerate(parts):
        there = repo if repo and index == 0 else modelscope.name_there(part.repo)
        files = hub.wanted(modelscope.files_of(there, revision), part.patterns or hub.IN_DIFFUSERS_LAYOUT)
        folder = modelscope.folder_of(part.repo)
        missing = [file for file in files if not (folder / file.name).is_file()]
        _say(there, files, missing, endpoint)
        print(f"into {folder}, where {as_text(free_bytes(folder))} are free")
        if dry_run:
            continue
        with _bar(missing, quiet) as listen:
            modelscope.fetch(part.repo, files, listen)
        checked = sum(file.sha256 is not None for file in missing)
        print(f"fetched {len(missing)} files; sha256 of {checked} is right")


def _planned(part: Part) -> hub.Plan:
    plan = hub.plan(part.repo, part.revision, part.patterns or hub.IN_DIFFUSERS_LAYOUT)
    if not plan.files:
        raise WeightsMissing(f"{part.repo!r} on the hub has no file that matches {', '.join(part.patterns)}")
    return plan


def _refuse_offline(parts: Sequence[Part]) -> None:
    if Settings.from_environment().offline:
        raise NoNetwork(
            f"{parts[0].repo!r} cannot be fetched: downloading is off; unset HF_HUB_OFFLINE and VITASCOPE_OFFLINE"
        )


def _say(repo: str, files: Sequence[RemoteFile], missing: Sequence[RemoteFile], endpoint: str) -> None:
    whole, rest = (as_text(sum(file.size for file in some)) for some in (files, missing))
    print(f"{repo}: {whole} in {len(files)} files; to fetch from {endpoint}: {rest} in {len(missing)} files")


def _names(files: Sequence[RemoteFile]) -> str:
    return f" and removed: {', '.join(file.name for file in files)}" if files else ""


@contextmanager
def _bar(files: Sequence[RemoteFile], quiet: bool) -> Iterator[Listener]:
    """A bar of bytes on standard error."""
    if quiet or not files:
        yield unheard
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        task = bars.add_task("", total=sum(file.size for file in files))
        yield lambda num_bytes: bars.update(task, advance=num_bytes)
