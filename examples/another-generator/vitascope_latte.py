"""Latte: text to video, added to Vitascope from a package of its own."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from vitascope.context import Context
from vitascope.generators import KnownModel, OneAtATime, Profile
from vitascope.task import Task, TextToVideo


class Latte(OneAtATime):
    """Latte-1: text to video, 512x512, 16 frames.

    A batch is made clip by clip: in one call, diffusers 0.42.1 makes another second clip than it does alone.

    Source: Ma et al., arXiv 2401.03048; run by diffusers' LattePipeline.
    """

    models: ClassVar[tuple[KnownModel, ...]] = (
        KnownModel(
            name="latte-1", repo="maxin-cn/Latte-1", card="latte-1", tasks=(TextToVideo.kind,), note="512x512"
        ),
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "latte-1": Profile(
            width=512,
            height=512,
            num_frames=16,
            fps=Fraction(8),
            num_inference_steps=50,
            guidance_scale=7.5,
            only_native_length=True,
            max_sequence_length=120,
        )
    }
    pipelines: ClassVar[tuple[str, ...]] = ("LattePipeline",)
    pipeline_for: ClassVar[Mapping[str, str]] = {
        TextToVideo.kind: "diffusers.pipelines.latte.pipeline_latte:LattePipeline"
    }

    takes_loras: ClassVar[bool] = False
    singly: ClassVar[tuple[type[Task], ...]] = (TextToVideo,)

    model: str = "latte-1"

    def arguments(self, tasks: Sequence[Task], pipeline: Any, context: Context) -> dict[str, Any]:
        """As for every family, under the names that this pipeline uses."""
        arguments = super().arguments(tasks, pipeline, context)
        arguments["video_length"] = arguments.pop("num_frames")
        arguments["negative_prompt"] = tasks[0].negative_prompt
        del arguments["max_sequence_length"]
        return {**arguments, "clean_caption": False}
