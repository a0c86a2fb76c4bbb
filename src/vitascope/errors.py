"""Every error that Vitascope raises on purpose.

::

    VitascopeError
    ├── RequestError            the caller's: HTTP 4xx, exit code 2
    │   ├── UnknownName           no such model, step, metric, workflow, parameter
    │   ├── UnsupportedTask       a size, length or kind of task that the generator cannot make
    │   ├── InvalidMedia          a picture, clip or weights file that cannot be read
    │   └── NotFound              a file, folder or job that is not there
    ├── ResourceError           the world's: HTTP 503 or 507, exit code 3
    │   ├── WeightsMissing        the weights are not on this machine
    │   ├── DependencyMissing     an optional package is not installed
    │   ├── OutOfMemory           the device or the machine is too small
    │   ├── DiskFull              there is no room to write
    │   └── NoNetwork             a download was needed and no host could be reached
    ├── RunError                ours: HTTP 500, exit code 1
    │   └── RankLost              one of the processes that share a clip died
    └── JobCancelled            somebody asked to stop: HTTP 409, exit code 130

The message of each is one line: what was wrong, with the offending value, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pydantic import ValidationError


class VitascopeError(Exception):
    """Root of the tree; catch it to catch all that Vitascope raises on purpose."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    @property
    def code(self) -> str:
        """The error's name as services write it: OutOfMemory is `out_of_memory`."""
        name = type(self).__name__
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class RequestError(VitascopeError, ValueError):
    """The caller asked for something that cannot be done as asked."""

    exit_code = 2
    http_status = 400

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class UnknownName(RequestError):
    """A name that no shelf, list or record knows; the nearest known one is offered."""

    http_status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str], *, param: str | None = None) -> None:
        known = sorted(set(known))
        near = get_close_matches(str(name), known, n=1, cutoff=0.5)
        if near:
            hint = f"did you mean {near[0]!r}?"
        else:
            shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
            hint = f"known: {shown}" if known else "none is known"
        super().__init__(f"unknown {kind} {str(name)[:80]!r}; {hint}", param=param)
        self.name, self.known = name, known


class UnsupportedTask(RequestError):
    """The generator or step cannot do this task; the nearest valid value is in the message."""


class InvalidMedia(RequestError):
    """A file that cannot be decoded, or whose content is not what the task needs."""


class NotFound(RequestError):
    """A file, folder or record that does not exist."""

    http_status = 404


class ResourceError(VitascopeError):
    """The request is right, but something that it needs is not here."""

    exit_code = 3
    http_status = 503


class WeightsMissing(ResourceError):
    """Weights that are neither on this machine nor could be fetched."""


class DependencyMissing(ResourceError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}; run: pip install 'vitascope[{extra}]'")
        self.package, self.extra = package, extra


class OutOfMemory(ResourceError):
    """The device or the machine has too little memory for this placement."""

    http_status = 507


class DiskFull(ResourceError):
    """No room left where the output, a cache or a checkpoint was being written."""

    http_status = 507


class NoNetwork(ResourceError):
    """A download was needed, and no host could be reached."""


class RunError(VitascopeError):
    """Something of ours failed while it ran; carries what was running and why."""

    def __init__(self, message: str, *, item: str | None = None, rank: int | None = None) -> None:
        super().__init__(message)
        self.item, self.rank = item, rank


class RankLost(RunError):
    """A process that shared the work died without a word, as by the system's hand; another try may well succeed."""


class JobCancelled(VitascopeError):
    """The run was asked to stop and stopped. `kept`: what it had done is saved, and it can go on from there."""

    exit_code = 130
    http_status = 409

    def __init__(self, message: str = "", *, kept: bool = False) -> None:
        super().__init__(message)
        self.kept = kept


def invalid_value(error: ValidationError, owner: str) -> RequestError:
    """Pydantic's first complaint as one line: whose field, which value, what is allowed."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    shown = "" if first["type"] == "missing" else f"={str(first.get('input'))[:80]!r}"
    said = first["msg"].removeprefix("Value error, ")
    if not where:  # about several fields, which the complaint names
        return RequestError(f"{owner}: {said}")
    return RequestError(f"{owner}: {where}{shown}: {said}", param=where)
