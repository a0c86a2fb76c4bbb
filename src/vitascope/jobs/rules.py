"""What a deployment decides for every job, and no request can change: its labels, and whether a judge is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vitascope.clip import Clip
from vitascope.jobs.house import VIDEO
from vitascope.jobs.moderation import ModerationUnavailable, Moderator
from vitascope.jobs.order import Order
from vitascope.labels.policy import Labelling, Policy
from vitascope.recipe import AigcLabel
from vitascope.settings import Settings
from vitascope.task import Task


@dataclass(frozen=True)
class Rules:
    """The rules of one service. They are written into each order, so that workers need not be told them."""

    label: str = "none"
    moderator: Moderator | None = None

    @classmethod
    def of_deployment(cls, label: str | None = None) -> Self:
        """What a flag says of labels, else the environment; and the environment's judge.

        Raises: RequestError, ResourceError for what could not be carried out.
        """
        settings = Settings.from_environment()
        label = settings.label if label is None else label
        Policy.of(label).check(Path(VIDEO), settings)
        return cls(label, Moderator.of(settings))

    def on_order(self, order: Order) -> Order:
        """The order with the rules in it, whatever stood there."""
        return order.model_copy(update={"label": self.label, "is_moderated": self.moderator is not None})

    def on_start(self, *brought: Task | Clip | None) -> None:
        """Look at what a request brings. Raises: ModerationBlocked, ModerationUnavailable."""
        for start in brought:
            if self.moderator is not None and start is not None:
                self.moderator.check_start(start)


def preview_label(job_id: str, order: Order) -> AigcLabel | None:
    """What the small pictures of a running job carry, where its clip will be labelled."""
    labelling = Labelling.of(order.label)
    if not labelling.policy.cn:
        return None
    return AigcLabel(content_producer=labelling.settings.label_producer, produce_id=job_id)


def finished(clip: Clip, order: Order) -> Clip:
    """A job's clip, judged and labelled as its order says, before any file of it is written.

    Raises: ModerationBlocked, ModerationUnavailable, also where this worker was given no judge.
    """
    if order.is_moderated:
        moderator = Moderator.of(Settings.from_environment())
        if moderator is None:
            raise ModerationUnavailable(
                "this service moderates results, and the worker was started without VITASCOPE_MODERATION"
            )
        moderator.check_result(clip, order.prompt)
    return Labelling.of(order.label).on(clip)
