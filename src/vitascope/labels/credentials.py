"""C2PA content credentials: a signed manifest that says what made a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitascope import __version__
from vitascope.atomic import replacing
from vitascope.errors import DependencyMissing, InvalidMedia, NotFound, RequestError, ResourceError
from vitascope.labels.metadata import GENERATED
from vitascope.recipe import Recipe
from vitascope.settings import Settings

SUFFIXES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
ALGORITHMS = ("es256", "es384", "ps256", "ed25519")


def check(path: Path, settings: Settings) -> None:
    """Look whether a file of this name could be signed here.

    Raises: RequestError for a format without credentials, DependencyMissing, NotFound for keys that are not there.
    """
    if path.is_dir() or path.suffix.lower() not in SUFFIXES:
        allowed = ", ".join(SUFFIXES)
        raise RequestError(
            f"{path.name!r} cannot carry C2PA credentials; write one of {allowed}", param="label"
        )
    _library()
    for name, file in (
        ("VITASCOPE_C2PA_CERT", settings.c2pa_cert),
        ("VITASCOPE_C2PA_KEY", settings.c2pa_key),
    ):
        if file is None:
            raise ResourceError(f"C2PA credentials are signed: set {name} to a PEM file")
        if not file.is_file():
            raise NotFound(f"{name}: no file at {str(file)!r}")


def sign(path: Path, recipe: Recipe, settings: Settings, title: str) -> None:
    """Put credentials into the file at `path`, in one move; `title` is the name that they call it by.

    Raises: as `check`; ResourceError for a certificate or key that cannot sign.
    """
    check(path, settings)
    c2pa = _library()
    with replacing(path) as signed, path.open("rb") as source, signed.open("w+b") as target:
        try:
            with (
                _signer(c2pa, settings) as signer,
                c2pa.Builder(json.dumps(_manifest(path, recipe, title))) as builder,
            ):
                builder.sign(signer, SUFFIXES[path.suffix.lower()], source, target)
        except c2pa.C2paError as error:
            raise ResourceError(
                f"C2PA credentials could not be signed: {' '.join(str(error).split())}"
            ) from error


def read(path: Path) -> dict[str, Any] | None:
    """Who signed a file and whether the file is as it was signed; None without credentials or without the package.

    Raises: InvalidMedia for credentials that cannot be read.
    """
    try:
        c2pa = _library()
    except DependencyMissing:
        return None
    media_type = SUFFIXES.get(path.suffix.lower())
    if media_type is None or path.is_dir():
        return None
    try:
        with path.open("rb") as file, c2pa.Reader(media_type, file) as reader:
            store = json.loads(reader.json())
            state = str(reader.get_validation_state())
    except c2pa.C2paError as error:
        if "ManifestNotFound" in type(error).__name__ or "no JUMBF" in str(error):
            return None
        raise InvalidMedia(f"the C2PA credentials of {str(path)!r} cannot be read: {error}") from error
    active = store["manifests"][store["active_manifest"]]
    signature = active.get("signature_info", {})
    return {
        "state": state,
        "signed_by": signature.get("issuer"),
        "algorithm": signature.get("alg"),
        "title": active.get("title"),
        "problems": sorted({str(found.get("code")) for found in store.get("validation_status", [])}),
    }


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise DependencyMissing("c2pa-python", "c2pa", "signing content credentials") from error
    return c2pa


def _signer(c2pa: Any, settings: Settings) -> Any:
    """A signer of the key's own algorithm: the library tells whether key and algorithm fit."""
    assert settings.c2pa_cert and settings.c2pa_key, "check() has looked"
    chain, key = settings.c2pa_cert.read_bytes(), settings.c2pa_key.read_bytes()
    refusal: Exception | None = None
    for algorithm in ALGORITHMS:
        try:
            return c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm.encode(), chain, key, None))
        except c2pa.C2paError as error:
            refusal = refusal or error
    raise ResourceError(
        f"{settings.c2pa_key.name!r} is no private key that signs C2PA credentials ({refusal}); "
        f"use one of {', '.join(ALGORITHMS)}"
    )


def _manifest(path: Path, recipe: Recipe, title: str) -> dict[str, Any]:
    """What the credentials say: who made it with what, and that a model made it."""
    software = {"name": "Vitascope", "version": __version__}
    is_generated = any(stage.kind == "generator" for stage in recipe.stages)
    created = {
        "action": "c2pa.created",
        "digitalSourceType": GENERATED if is_generated else EDITED,
        "softwareAgent": software,
    }
    edits = [
        {"action": "c2pa.edited", "softwareAgent": software, "description": stage.name}
        for stage in recipe.stages
        if stage.kind == "step"
    ]
    return {
        "claim_generator_info": [software],
        "title": title,
        "format": SUFFIXES[path.suffix.lower()],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created, *edits]}}],
    }
