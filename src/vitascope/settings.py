"""What the environment says: the only reader of environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.errors import RequestError, invalid_value


class Settings(BaseModel):
    """Where things are kept and which services may be asked; values flow down as arguments.

    `VITASCOPE_HOME`      caches, checkpoints and intermediate clips (default ~/.cache/vitascope)
    `VITASCOPE_KEEP_GIB`  how much room intermediate clips may take (default 10; 0 keeps none)
    `VITASCOPE_METRIC_WEIGHTS`
                          a folder with the files that metrics need, under the names they are published by
                          (default VITASCOPE_HOME/metrics)
    `VITASCOPE_OFFLINE`   1 = never download (`HF_HUB_OFFLINE` is honoured too)
    `MODELSCOPE_DOMAIN`   where ModelScope answers (default www.modelscope.cn); `HF_ENDPOINT` is the hub's
    `VITASCOPE_LLM_URL`, `VITASCOPE_LLM_MODEL`, `VITASCOPE_LLM_KEY`
                          an OpenAI-compatible endpoint for prompt expansion and captioning
    `VITASCOPE_DATABASE`, `VITASCOPE_ARTIFACTS`
                          the database and the file store of a service on several machines
    `VITASCOPE_LABEL`     cn, c2pa or cn,c2pa: how outputs say that they were generated, where nothing else is said
    `VITASCOPE_LABEL_PRODUCER`
                          who stands in the label as its producer (default Vitascope)
    `VITASCOPE_C2PA_CERT`, `VITASCOPE_C2PA_KEY`
                          PEM files that sign content credentials: the chain of certificates, and the private key
    `VITASCOPE_MODERATION`
                          module:function, or the URL of an OpenAI-compatible moderations endpoint, that a service
                          asks about prompts, uploads and results; `VITASCOPE_MODERATION_KEY` goes to the endpoint
    `VITASCOPE_MODERATION_TIMEOUT_S`
                          how long it may think (default 10)
    `VITASCOPE_MODERATION_OPEN`
                          1 = let through what could not be asked about; otherwise it is refused
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    keep_gib: float = Field(10, ge=0)
    metric_weights: Path | None = None
    offline: bool = False
    modelscope_endpoint: str = "https://www.modelscope.cn"
    llm_url: str | None = None
    llm_model: str | None = None
    llm_key: str | None = None
    database: str = ""
    artifacts: str = ""
    label: str = "none"
    label_producer: str = "Vitascope"
    c2pa_cert: Path | None = None
    c2pa_key: Path | None = None
    moderation: str | None = None
    moderation_key: str | None = None
    moderation_timeout_s: float = Field(10.0, gt=0)
    moderation_open: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the variables above, from `os.environ` unless another mapping is given. Raises: RequestError."""
        env = os.environ if environment is None else environment
        truthy = {"1", "true", "yes", "on"}
        home = _folder(env, "VITASCOPE_HOME") or _cache(env) / "vitascope"
        values: dict[str, Any] = {
            "home": home,
            "metric_weights": _folder(env, "VITASCOPE_METRIC_WEIGHTS") or home / "metrics",
            "offline": any(env.get(k, "").lower() in truthy for k in ("VITASCOPE_OFFLINE", "HF_HUB_OFFLINE")),
            "llm_url": env.get("VITASCOPE_LLM_URL") or None,
            "llm_model": env.get("VITASCOPE_LLM_MODEL") or None,
            "llm_key": env.get("VITASCOPE_LLM_KEY") or None,
            "label": env.get("VITASCOPE_LABEL") or "none",
            "label_producer": env.get("VITASCOPE_LABEL_PRODUCER") or "Vitascope",
            "c2pa_cert": env.get("VITASCOPE_C2PA_CERT") or None,
            "c2pa_key": env.get("VITASCOPE_C2PA_KEY") or None,
            "moderation": env.get("VITASCOPE_MODERATION") or None,
            "moderation_key": env.get("VITASCOPE_MODERATION_KEY") or None,
            "moderation_timeout_s": env.get("VITASCOPE_MODERATION_TIMEOUT_S") or 10.0,
            "moderation_open": env.get("VITASCOPE_MODERATION_OPEN", "").lower() in truthy,
            "keep_gib": _number(env.get("VITASCOPE_KEEP_GIB") or "10"),
            "modelscope_endpoint": _with_scheme(env.get("MODELSCOPE_DOMAIN") or "www.modelscope.cn"),
            "database": env.get("VITASCOPE_DATABASE", ""),
            "artifacts": env.get("VITASCOPE_ARTIFACTS", ""),
        }
        try:
            return cls(**values)
        except ValidationError as error:
            raise invalid_value(error, "environment") from error

    @staticmethod
    def service_environment(database: str, artifacts: str) -> dict[str, str]:
        """The variables that tell a process which database and store to use."""
        return {"VITASCOPE_DATABASE": database, "VITASCOPE_ARTIFACTS": artifacts}


def _folder(env: Mapping[str, str], name: str) -> Path | None:
    try:
        return Path(env[name]).expanduser() if env.get(name) else None
    except RuntimeError as error:
        raise RequestError(f"{name}={env[name]!r}: nobody has this home; give the whole path") from error


def _cache(env: Mapping[str, str]) -> Path:
    try:
        return _folder(env, "XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # a container's user that no file knows, and no HOME
        raise RequestError("this user has no home; set VITASCOPE_HOME to a folder for caches") from error


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise RequestError(f"VITASCOPE_KEEP_GIB={text!r} is not a number of GiB, such as 10")
    return number


def _with_scheme(address: str) -> str:
    return (address if "://" in address else f"https://{address}").rstrip("/")
