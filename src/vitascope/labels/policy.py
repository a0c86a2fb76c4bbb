"""Which labels a clip shall carry, as one word that a flag, a variable or a service writes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from vitascope.clip import Clip, Image
from vitascope.errors import UnknownName
from vitascope.labels import credentials
from vitascope.recipe import AigcLabel, Labels, Recipe
from vitascope.settings import Settings

CN, C2PA, NONE = "cn", "c2pa", "none"


@dataclass(frozen=True)
class Policy:
    """Labels to add. A label that a clip already has stays, whatever the policy says: nobody may remove it."""

    cn: bool = False
    c2pa: bool = False

    @classmethod
    def of(cls, words: str) -> Self:
        """The policy that `cn`, `c2pa`, `cn,c2pa` or `none` names. Raises: UnknownName."""
        asked = [word.strip() for word in words.split(",")]
        for word in asked:
            if word not in (CN, C2PA, NONE):
                raise UnknownName("label", word, (CN, C2PA, NONE), param="label")
        return cls(cn=CN in asked, c2pa=C2PA in asked)

    def check(self, path: Path, settings: Settings) -> None:
        """Look, before a long run, whether `path` can be labelled so.

        Raises: RequestError for a format without credentials, ResourceError for missing keys or packages.
        """
        if self.c2pa:
            credentials.check(path, settings)


def labelled(clip: Clip, policy: Policy, settings: Settings) -> Clip:
    """The clip with the policy's labels in its recipe; every file that is written from it carries them."""
    before = clip.recipe.labels
    aigc = before.aigc
    if policy.cn and aigc is None:
        aigc = AigcLabel(content_producer=settings.label_producer, produce_id=_content_id(clip.recipe))
    labels = Labels(aigc=aigc, c2pa=policy.c2pa or before.c2pa)
    return replace(clip, recipe=clip.recipe.model_copy(update={"labels": labels}))


@dataclass(frozen=True)
class Labelling:
    """A policy with what it needs to be carried out."""

    policy: Policy
    settings: Settings

    @classmethod
    def of(cls, words: str | None, output: Path | None = None) -> Self:
        """What a flag says, or where it says nothing VITASCOPE_LABEL; `output` is looked at before a long run.

        Raises: UnknownName; as `Policy.check`.
        """
        settings = Settings.from_environment()
        policy = Policy.of(settings.label if words is None else words)
        if output is not None:
            policy.check(output, settings)
        return cls(policy, settings)

    def on(self, clip: Clip) -> Clip:
        """The clip, labelled so."""
        return labelled(clip, self.policy, self.settings)


def label_of(source: Clip | Image) -> AigcLabel | None:
    """The statement that a clip or picture carries, if any."""
    return source.aigc if isinstance(source, Image) else source.recipe.labels.aigc


def keep_labels(clip: Clip, source: Clip | Image) -> Clip:
    """The clip with the label of a clip or picture that it was made from, if that one had any."""
    aigc = label_of(source)
    if aigc is None or clip.recipe.labels.aigc is not None:
        return clip
    labels = clip.recipe.labels.model_copy(update={"aigc": aigc})
    return replace(clip, recipe=clip.recipe.model_copy(update={"labels": labels}))


def _content_id(recipe: Recipe) -> str:
    """The same for what the same recipe made, so that files stay reproducible."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:32]
